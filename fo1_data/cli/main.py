"""`fo1`: the entry point. Registers the commands; each imports heavy modules only when it runs."""

import re
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fo1_data.cli.backup import backup, restore
from fo1_data.cli.bench.commands import app as bench_app
from fo1_data.cli.calibrate import calibrate
from fo1_data.cli.dataset import app as dataset_app
from fo1_data.cli.doctor import doctor
from fo1_data.cli.evaluate import evaluate
from fo1_data.cli.keys import app as keys_app
from fo1_data.cli.label import label
from fo1_data.cli.memory import came_of_memory, end_when_threads_lack_memory, tell_out_of_memory
from fo1_data.cli.model import app as model_app
from fo1_data.cli.output import say
from fo1_data.cli.plan import plan
from fo1_data.cli.projects import app as projects_app
from fo1_data.cli.report import report
from fo1_data.cli.review import app as review_app
from fo1_data.cli.route import route
from fo1_data.cli.scenes import scenes
from fo1_data.cli.serve import serve
from fo1_data.cli.train import train
from fo1_data.cli.train_detector import train_detector
from fo1_data.cli.version import print_version
from fo1_data.errors import Fo1Error, system_fault
from fo1_data.home_folders import expand_home
from fo1_data.runs.stopping import exit_code
from fo1_data.storage.store_faults import store_failed

_OF_HOME = re.compile(r"(--[a-z-]+=)?(~(?:/.*)?)", re.DOTALL)


class _Commands(TyperGroup):
    """The commands. One that is interrupted says so: typer itself ends without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            say("fo1: interrupted")
            raise typer.Exit(exit_code(stop)) from None


app = typer.Typer(
    name="fo1",
    cls=_Commands,
    help="Label the regions of an image corpus with VLM-FO1, review the labels, and train on them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(label)
app.command()(plan)
app.command()(doctor)
app.command()(report)
app.command()(scenes)
app.command()(evaluate)
app.command()(calibrate)
app.command()(route)
app.command()(train)
app.command()(train_detector)
app.command()(serve)
app.command()(backup)
app.command()(restore)
app.add_typer(bench_app, name="bench")
app.add_typer(dataset_app, name="dataset")
app.add_typer(keys_app, name="keys")
app.add_typer(model_app, name="model")
app.add_typer(projects_app, name="projects")
app.add_typer(review_app, name="review")


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


def _with_home(argument: str) -> str:
    """An argument with its `~` as a path: shells leave it in `--out=~/runs`."""
    found = _OF_HOME.fullmatch(argument)
    if found:
        return f"{found[1] or ''}{expand_home(found[2])}"
    return argument


def main() -> None:
    """Run the command line. An error that a user can cause ends in one line and its exit code.

    What is wrong with the request ends with 2, but not where a store failed by itself.
    """
    end_when_threads_lack_memory()
    sys.argv[1:] = map(_with_home, sys.argv[1:])
    try:
        app()
    except Fo1Error as error:
        say(f"fo1: {error}")
        sys.exit(1 if store_failed(error) else error.exit_code)
    except OSError as error:
        say(f"fo1: {system_fault(error)}")
        sys.exit(1)
    except (MemoryError, RuntimeError, SystemError, ImportError) as error:
        if not came_of_memory(error):
            raise
        tell_out_of_memory()
        sys.exit(1)


if __name__ == "__main__":
    main()
