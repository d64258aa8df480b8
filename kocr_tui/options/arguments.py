"""The command line's words: every command, its options and their help."""

import argparse
from typing import TYPE_CHECKING, NoReturn

from core.differences import NAMES
from core.visible_text import visible
from kocr_tui.options.evaluate_options import add_evaluate_options
from kocr_tui.options.export_options import EXPORT, add_export_options
from kocr_tui.options.option_types import count, layers, listed, one_of, photo_size, port
from kocr_tui.options.predict_options import PROMPT, add_predict_options
from kocr_tui.options.run_options import add_card, add_goals, add_root, add_run_options, add_why

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["_Parser"]

_EXIT_CODES = """\
exit codes: 0 done, 1 failed, 2 wrong use, 3 stopped on request (resumable), 4 GPU lost
$KOCR_HOME holds runs, caches and demo photos; $KOCR_CONFIG your own hardware profiles and
console.toml (theme, ascii, language, keys); $KOCR_LOCKS the files that hold cards, instead of
/run/lock and /tmp"""
_THEMES = ("auto", "dark", "light", "contrast", "basic")
_KINDS = ("store-names", "aihub-105", "aihub-81", "chat", "sharegpt", "messages")
_WEIGHTS = ("bf16", "fp16", "fp32", "nf4")
_TARGETS = ("attention", "language", "language+merger", "all")
_FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line instead of below the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"kocr-tui: {visible(message)}; `{self.prog} --help` lists the options\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``command`` in what it parses names the one that was given."""
    parser = _Parser(
        prog="kocr-tui",
        description="Fine-tunes Qwen2-VL with LoRA to read Korean shop signs on one GPU. "
        "Without a command it opens the console.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(
        command="console", runs=None, lang=None, theme=None, ascii=False, web=False, port=None
    )
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for each in (parser, common):
        each.add_argument("--runs", metavar="DIR", help="folder of runs (default: $KOCR_HOME/runs)")
        each.add_argument("--lang", choices=("ko", "en"), help="language (default: from LANG)")
    _add_look(parser)
    parser.add_argument(
        "--web",
        action="store_true",
        help="the console in a browser: on 127.0.0.1 alone, at a secret address that it prints",
    )
    parser.add_argument("--port", type=port, help="port of --web (default: 8765)")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo(commands, common)
    _add_plan(commands, common)
    _add_tune(commands, common)
    _add_train(commands, common)
    _add_run_commands(commands, common)
    _add_convert(commands, common)
    _add_check(commands, common)
    _add_cache(commands, common)
    evaluate = "know how well it reads: score a run, a model, another reader, or replies in a file"
    add_evaluate_options(_add(commands, common, "evaluate", evaluate))
    predict = "read signs with a run's adapter, another adapter, or a base model"
    add_predict_options(_add(commands, common, "predict", predict))
    add_export_options(_add(commands, common, "export", EXPORT))
    doctor = _add(commands, common, "doctor", "what this box can do, what is wrong, what to type")
    _add_json(doctor)
    return parser


def _add(
    commands: "Commands",
    common: _Parser,
    name: str,
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=text[:1].upper() + text[1:] + ".", parents=[common]
    )
    parser.set_defaults(command=name)
    return parser


def _add_look(parser: argparse.ArgumentParser) -> None:
    """How the console looks that the command opens; over console.toml."""
    keep = argparse.SUPPRESS
    themes = "colours: %(choices)s (default: what suits the terminal)"
    parser.add_argument("--theme", choices=_THEMES, default=keep, help=themes)
    parser.add_argument(
        "--ascii", action="store_true", default=keep, help="draw with ASCII characters alone"
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def _add_watching(parser: argparse.ArgumentParser) -> None:
    watching = parser.add_mutually_exclusive_group()
    watching.add_argument("--detach", action="store_true", help="start it and return at once")
    watching.add_argument("--headless", action="store_true", help="plain lines, no console")
    _add_look(parser)


def _add_demo(commands: "Commands", common: _Parser) -> None:
    text = "tune, train, validate a real (tiny) Qwen2-VL on made signs; needs no data and no GPU"
    _add_watching(_add(commands, common, "demo", text))


def _add_plan(commands: "Commands", common: _Parser) -> None:
    text = "predict memory and speed of every setup; needs no GPU, no weights and no data"
    parser = _add(commands, common, "plan", text)
    parser.epilog = (
        "comma lists plan every combination; --max-pixels with one setup also shows what its "
        "memory is for"
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        default="qwen2-vl-2b",
        help="published architecture, model folder or hub id (default: %(default)s)",
    )
    add_card(parser)
    _add_setups(parser)
    parser.add_argument("--data", metavar="DIR|JSONL", help="data set folder, or training rows")
    parser.add_argument("--validation", metavar="JSONL", help="validation rows, with --data")
    add_root(parser)
    parser.add_argument(
        "--photo", metavar="WxH", type=photo_size, help="largest photo without data (4032x3024)"
    )
    parser.add_argument("--rows", metavar="N", type=count, help="rows an epoch without data")
    add_goals(parser)
    add_why(parser)
    _add_json(parser)


def _add_setups(parser: argparse.ArgumentParser) -> None:
    """Comma lists of what a setup may be."""
    parser.add_argument(
        "--weights",
        metavar="LIST",
        type=listed(one_of(*_WEIGHTS)),
        default=(),
        help="of bf16, fp16, fp32, nf4 (default: what the card can do)",
    )
    ranks = "LoRA ranks (default: 16)"
    parser.add_argument("--rank", metavar="LIST", type=listed(count), default=(16,), help=ranks)
    parser.add_argument(
        "--targets",
        metavar="LIST",
        type=listed(one_of(*_TARGETS)),
        default=("language",),
        help="of attention, language, language+merger, all (default: language)",
    )
    parser.add_argument(
        "--checkpointing",
        metavar="LIST",
        type=listed(layers),
        default=(),
        help="of none, all, n for every n-th layer (default: several)",
    )


def _add_tune(commands: "Commands", common: _Parser) -> None:
    text = "plan, then prove by probes on the card what fits; `resume` trains with it"
    parser = _add(commands, common, "tune", text)
    outputs = parser.add_mutually_exclusive_group()
    outputs.add_argument("--detach", action="store_true", help="start it and return at once")
    outputs.add_argument("--json", action="store_true", help="print JSON for programs")
    add_why(parser)
    add_run_options(parser)


def _add_train(commands: "Commands", common: _Parser) -> None:
    parser = _add(commands, common, "train", "find what fits the card, then train")
    _add_watching(parser)
    add_run_options(parser)


def _add_convert(commands: "Commands", common: _Parser) -> None:
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
    parser.add_argument("--prompt", default=PROMPT, help="default: %(default)s")
    parser.add_argument("--crops", action="store_true", help="AI Hub: a row a box, cut out as PNG")
    parser.add_argument(
        "--force", action="store_true", help="replace what an earlier conversion wrote to OUT"
    )
    _add_json(parser)


def _add_check(commands: "Commands", common: _Parser) -> None:
    text = "audit a data set: photos, answers, duplicates, leaks, tokens at each pixel budget"
    parser = _add(commands, common, "check", text)
    parser.epilog = (
        "exit code 1: rows that can't be used, photos or shops on both sides, or a photo with two "
        "answers; with --strict also warnings"
    )
    parser.add_argument("data", metavar="DATA", help="data set folder, or a JSONL file")
    parser.add_argument("validation", metavar="JSONL", nargs="?", help="validation rows")
    add_root(parser)
    parser.add_argument("--model", metavar="PATH", help="count tokens as this model does")
    parser.add_argument(
        "--family", choices=_FAMILIES, default=_FAMILIES[0], help="how photos are cut without it"
    )
    parser.add_argument("--strict", action="store_true", help="let warnings fail, too")
    _add_json(parser)


def _add_cache(commands: "Commands", common: _Parser) -> None:
    text = "compute the image features of all training photos ahead of training, and keep them"
    parser = _add(commands, common, "cache", text)
    parser.epilog = (
        "worth it before several epochs or several runs at one pixel budget; "
        "train.feature_cache_gib bounds the disk"
    )
    parser.add_argument(
        "run", metavar="RUN|CONFIG", help="a run that was tuned, or a TOML with tune.max_pixels"
    )


def _add_run_commands(commands: "Commands", common: _Parser) -> None:
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
        default = "the newest" if name == "resume" else "the live run"
        parser.add_argument(
            "run",
            nargs="?",
            metavar="RUN",
            help=f"its id, a start or end of it, or 'last' (default: {default})",
        )
        if name in ("status", "stop", "abort"):
            _add_json(parser)
        if name == "status":
            watching = "one line, kept up to date until the run ends; Ctrl+C leaves the run alone"
            parser.add_argument("--watch", action="store_true", help=watching)
        if name == "attach":
            parser.add_argument("--headless", action="store_true", help="plain lines, no console")
            _add_look(parser)
        if name == "resume":
            _add_watching(parser)
            _add_allow(parser)


def _add_allow(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "what the run was begun with is compared with what is there now, and a difference is "
        "shown and refused unless it is allowed by name; more epochs, and folders that were moved "
        "with what is in them, are no difference"
    )
    parser.add_argument(
        "--allow",
        metavar="NAME",
        type=listed(one_of(*NAMES)),
        action="extend",
        default=[],
        help=f"go on although this differs (again for more): {', '.join(NAMES)}",
    )
