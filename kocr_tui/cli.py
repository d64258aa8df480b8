"""The command line; whatever is heavy is imported inside the command that needs it."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import KocrError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_EXIT_CODES = """\
exit codes: 0 done, 1 failed, 2 wrong use, 3 stopped on request (resumable), 4 GPU lost
$KOCR_HOME holds runs, locks, caches and demo photos; $KOCR_CONFIG your own hardware profiles"""


_KINDS = ("store-names", "aihub-105", "aihub-81", "chat", "sharegpt", "messages")
_FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; errors are one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except KocrError as error:
        print(f"kocr-tui: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 3
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _run(options: argparse.Namespace) -> int:
    from kocr_tui import commands
    from kocr_tui.strings import use_language

    use_language(options.lang)
    run: commands.Command = getattr(commands, options.command.replace("-", "_"))
    return run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kocr-tui",
        description="Fine-tunes Qwen2-VL with LoRA to read Korean shop signs on one GPU. "
        "Without a command it opens the console.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command="console", runs=None, lang=None)
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for each in (parser, common):
        each.add_argument("--runs", metavar="DIR", help="folder of runs (default: $KOCR_HOME/runs)")
        each.add_argument("--lang", choices=("ko", "en"), help="language (default: from LANG)")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo(commands, common)
    _add_train(commands, common)
    _add_run_commands(commands, common)
    _add_convert(commands, common)
    _add_check(commands, common)
    _add_cache(commands, common)
    doctor = _add(commands, common, "doctor", "what this box can do, what is wrong, what to type")
    _add_json(doctor)
    return parser


def _add(
    commands: "Commands",
    common: argparse.ArgumentParser,
    name: str,
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=text[:1].upper() + text[1:] + ".", parents=[common]
    )
    parser.set_defaults(command=name)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def _add_watching(parser: argparse.ArgumentParser) -> None:
    watching = parser.add_mutually_exclusive_group()
    watching.add_argument("--detach", action="store_true", help="start it and return at once")
    watching.add_argument("--headless", action="store_true", help="plain lines, no console")


def _add_demo(
    commands: "Commands",
    common: argparse.ArgumentParser,
) -> None:
    text = "tune, train, validate a real (tiny) Qwen2-VL on made signs; needs no data and no GPU"
    _add_watching(_add(commands, common, "demo", text))


def _checkpointing(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _add_train(
    commands: "Commands",
    common: argparse.ArgumentParser,
) -> None:
    parser = _add(commands, common, "train", "find what fits the card, then train")
    _add_watching(parser)
    parser.add_argument("-c", "--config", metavar="FILE", help="a run's TOML; options override it")
    parser.add_argument("--name", help="a name for the run")
    parser.add_argument("--model", metavar="PATH", help="model folder or hub id")
    parser.add_argument("--train", metavar="JSONL", help="training rows (Qwen2-VL chats)")
    parser.add_argument("--validation", metavar="JSONL", help="validation rows")
    parser.add_argument("--profile", help="hardware profile (default: auto)")
    parser.add_argument("--rank", type=int, help="LoRA rank")
    parser.add_argument("--targets", help="attention, language, language+merger or all")
    parser.add_argument("--dtype", help="weights: auto, bf16, fp16, fp32 or nf4")
    parser.add_argument(
        "--checkpointing",
        type=_checkpointing,
        help="recompute activations of layers: none, all, or every n-th (a number)",
    )
    parser.add_argument("--processes", type=int, help="cards that train together")
    parser.add_argument("--epochs", type=int, help="times over the data")
    parser.add_argument("--batch", type=int, help="samples an optimizer step")
    parser.add_argument(
        "--micro-batch-tokens", type=int, help="tokens at a time on the card, several samples'"
    )
    parser.add_argument("--learning-rate", type=float, help="peak learning rate")
    parser.add_argument("--max-pixels", type=int, help="fixed pixel budget instead of the largest")
    parser.add_argument(
        "--set-aside-bad-rows",
        action="store_true",
        help="train without rows that can't be used, each on record with its reason",
    )


def _add_convert(
    commands: "Commands",
    common: argparse.ArgumentParser,
) -> None:
    text = "label files to a data set of Qwen2-VL rows, with a receipt of every row"
    parser = _add(commands, common, "convert", text)
    parser.add_argument("source", metavar="SRC", help="label file, or a folder of label files")
    parser.add_argument("out", metavar="OUT", help="folder for train.jsonl and receipt.json")
    parser.add_argument("--from", dest="kind", choices=_KINDS, help="kind (default: recognised)")
    parser.add_argument("--images", metavar="DIR", help="folder of the photos (default: SRC's)")
    sides = parser.add_mutually_exclusive_group()
    sides.add_argument("--validation", metavar="SRC2", help="label file of validation rows")
    sides.add_argument(
        "--validation-share",
        metavar="SHARE",
        type=float,
        help="put this share of the groups aside for validation (same photo, same name and place)",
    )
    parser.add_argument("--seed", type=int, default=0, help="chooses the groups (default: 0)")
    parser.add_argument(
        "--template",
        default="{korean} ({english})",
        help="answer of store names; brackets around an empty field go (default: %(default)s)",
    )
    parser.add_argument(
        "--prompt", default="이 간판 이미지의 텍스트를 읽어주세요.", help="default: %(default)s"
    )
    parser.add_argument("--crops", action="store_true", help="AI Hub: a row a box, cut out as PNG")
    parser.add_argument(
        "--force", action="store_true", help="replace what an earlier conversion wrote to OUT"
    )
    _add_json(parser)


def _add_check(
    commands: "Commands",
    common: argparse.ArgumentParser,
) -> None:
    text = "audit a data set: photos, answers, duplicates, leaks, tokens at each pixel budget"
    parser = _add(commands, common, "check", text)
    parser.epilog = (
        "exit code 1: rows that can't be used, photos or shops on both sides, or a photo with two "
        "answers; with --strict also warnings"
    )
    parser.add_argument("data", metavar="DATA", help="data set folder, or a JSONL file")
    parser.add_argument("validation", metavar="JSONL", nargs="?", help="validation rows")
    parser.add_argument("--model", metavar="PATH", help="count tokens as this model does")
    parser.add_argument(
        "--family", choices=_FAMILIES, default=_FAMILIES[0], help="how photos are cut without it"
    )
    parser.add_argument("--strict", action="store_true", help="let warnings fail, too")
    _add_json(parser)


def _add_cache(
    commands: "Commands",
    common: argparse.ArgumentParser,
) -> None:
    text = "compute the image features of all training photos ahead of training, and keep them"
    parser = _add(commands, common, "cache", text)
    parser.epilog = (
        "worth it before several epochs or several runs at one pixel budget; "
        "train.feature_cache_gib bounds the disk"
    )
    parser.add_argument(
        "run", metavar="RUN|CONFIG", help="a run that was tuned, or a TOML with tune.max_pixels"
    )


def _add_run_commands(
    commands: "Commands",
    common: argparse.ArgumentParser,
) -> None:
    _add_json(_add(commands, common, "runs", "all runs, the newest first"))
    texts = {
        "status": "where a run stands",
        "attach": "open the console on a run that goes on",
        "stop": "ask a run to save a checkpoint and leave",
        "abort": "ask a run to leave at once, keeping its last checkpoint",
        "resume": "go on from a run's last checkpoint",
    }
    for name, text in texts.items():
        parser = _add(commands, common, name, text)
        parser.add_argument(
            "run",
            nargs="?",
            metavar="RUN",
            help="its id, a start or end of it, or 'last' (default: the live run)",
        )
        if name in ("status", "stop", "abort"):
            _add_json(parser)
        if name == "attach":
            parser.add_argument("--headless", action="store_true", help="plain lines, no console")
        if name == "resume":
            _add_watching(parser)


if __name__ == "__main__":
    sys.exit(main())
