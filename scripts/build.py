"""Build the handbook: make the environment, execute what is stale, build the site, serve it.

python3 scripts/build.py --serve
python3 scripts/build.py --execute examples/definition.py
"""

import environment

environment.enter()

import argparse
import signal
import sys

import records
import runner
import website


def main() -> None:
    for end in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores SIGINT else
        signal.signal(end, signal.default_int_handler)
    options = parse_arguments()
    server = website.bind(options.port) if options.serve else None
    try:
        runner.recover(records.scripts())
        execute(options.execute, options.jobs)
        website.build()
        if server:
            print(
                f"The handbook is at http://127.0.0.1:{options.port}/ (stop it with Ctrl-C)",
                flush=True,
            )
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print("\nStopped serving.")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Finished records are kept; the same command continues from here.")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the handbook.")
    parser.add_argument(
        "--execute",
        nargs="+",
        default=["stale"],
        metavar="stale|all|PATH",
        help="which examples to execute: those whose record is stale (the default), all, or these",
    )
    parser.add_argument("--jobs", type=int, default=2, help="examples at a time (default: 2)")
    parser.add_argument(
        "--serve", action=argparse.BooleanOptionalAction, default=False, help="serve the site"
    )
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error(f"--jobs is at least 1, not {options.jobs}")
    return options


def execute(chosen: list[str], jobs: int) -> None:
    """Execute the chosen examples; exits with each failure's text if there is one."""
    if chosen == ["stale"]:
        scripts = [script for script in records.scripts() if records.stale(script)]
    elif chosen == ["all"]:
        scripts = records.scripts()
    else:
        scripts = [script for path in chosen for script in records.find_scripts(path)]
    if not scripts:
        print("Every record is current; nothing to execute.", flush=True)
        return
    problems = runner.refresh(scripts, jobs)
    if problems:
        for problem in problems.values():
            print(f"\n{problem}", file=sys.stderr)
        sys.exit(
            f"\n{len(problems)} failed; the records of all others are kept. "
            "Mend it and run the same command again: only what is stale runs."
        )


if __name__ == "__main__":
    main()
