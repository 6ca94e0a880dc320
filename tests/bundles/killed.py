# SPDX-License-Identifier: Apache-2.0

"""
``monai.bundle``, or the module in KILLED_MODULE, in a process that ends itself as a checkpoint is written: the second
one, or that in KILLED_AT.
"""

import os
import runpy
import signal

if __name__ == "__main__":
    move, written = os.replace, []

    def move_and_die(source, target):
        move(source, target)
        if os.path.basename(target) == "last.pt":
            written.append(target)
            if len(written) == int(os.environ.get("KILLED_AT", 2)):
                os.kill(os.getpid(), signal.SIGKILL)

    os.replace = move_and_die
    runpy.run_module(os.environ.get("KILLED_MODULE", "monai.bundle"), run_name="__main__", alter_sys=True)
