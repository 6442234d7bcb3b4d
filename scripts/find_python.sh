#!/bin/sh
# Print the first Python on this machine that is 3.11, 3.12 or 3.13.
for python in python3 python3.13 python3.12 python3.11 python; do
    if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        command -v "$python"
        exit 0
    fi
done
echo "No Python 3.11, 3.12 or 3.13 was found: install one, or name it as in 'make book PYTHON=/path/to/python3.12'." >&2
exit 1
