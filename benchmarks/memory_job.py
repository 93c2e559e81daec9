"""Run one of the workflow's scripts with epochs cut to some steps: `memory_job.py STEPS SCRIPT …`.

The rest of the job is whole: all of the data, validation after the epoch, answers, files.
"""

import runpy
import sys

from modelswitch.data.views import Views


def main() -> None:
    steps, script, *arguments = sys.argv[1:]
    whole = Views.steps.fget
    Views.steps = property(lambda views: min(int(steps), whole(views)))
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
