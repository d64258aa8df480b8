"""Options of the command line that say what a run is made of and what it is tuned for."""

import argparse

from kocr_tui.options.option_types import checkpointing, count, positive


def add_card(parser: argparse.ArgumentParser) -> None:
    """The card to plan or to run for."""
    parser.add_argument("--profile", help="hardware profile (default: auto)")
    parser.add_argument(
        "--capacity-gib", metavar="G", type=positive, help="pretend to be a smaller card, GiB"
    )


def add_root(parser: argparse.ArgumentParser) -> None:
    """The folder that no photo may lead out of."""
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="folder that no photo may lead out of, by .., an absolute path or a link",
    )


def add_goals(parser: argparse.ArgumentParser) -> None:
    """What tuning is for; at most one of them."""
    goals = parser.add_mutually_exclusive_group()
    goals.add_argument(
        "--max-pixels",
        metavar="N",
        type=count,
        help="fixed pixel budget instead of the largest that fits",
    )
    goals.add_argument(
        "--hours", metavar="H", type=positive, help="the largest budget whose epoch ends in time"
    )
    goals.add_argument("--fastest", action="store_true", help="the setup with the most samples/s")


def add_why(parser: argparse.ArgumentParser) -> None:
    """Whether the decisions are told."""
    parser.add_argument("--why", action="store_true", help="print the decisions, one a line")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """What a run is made of, for every command that makes one of a user's data."""
    parser.add_argument("-c", "--config", metavar="FILE", help="a run's TOML; options override it")
    parser.add_argument("--name", help="a name for the run")
    parser.add_argument("--model", metavar="PATH", help="model folder or hub id")
    parser.add_argument("--train", metavar="JSONL", help="training rows (Qwen2-VL chats)")
    parser.add_argument("--validation", metavar="JSONL", help="validation rows")
    add_root(parser)
    add_card(parser)
    parser.add_argument("--rank", type=int, help="LoRA rank")
    parser.add_argument("--targets", help="attention, language, language+merger or all")
    parser.add_argument("--dtype", "--weights", help="weights: auto, bf16, fp16, fp32 or nf4")
    parser.add_argument(
        "--checkpointing",
        type=checkpointing,
        help="recompute activations of layers: none, all, or every n-th (a number)",
    )
    parser.add_argument("--processes", type=int, help="cards that train together")
    parser.add_argument("--epochs", type=int, help="times over the data")
    parser.add_argument("--batch", type=int, help="samples an optimizer step")
    parser.add_argument(
        "--micro-batch-tokens", type=int, help="tokens at a time on the card, several samples'"
    )
    parser.add_argument("--learning-rate", type=float, help="peak learning rate")
    add_goals(parser)
    parser.add_argument(
        "--set-aside-bad-rows",
        action="store_true",
        help="train without rows that can't be used, each on record with its reason",
    )
