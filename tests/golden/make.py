"""``python -m tests.golden.make STAGE``: writes the golden file of a stage again.

Run it after the version of the stage was raised or the mini models were trained again. It refuses
other numbers of the same origin.
"""

import sys
from typing import Final

from tests.golden import embed, entropy, extract, train, tune
from tests.golden.golden import Golden

GOLDEN: Final[dict[str, Golden]] = {
    module.GOLDEN.stage: module.GOLDEN for module in (extract, embed, entropy, tune, train)
}


def main() -> None:
    """Renew the golden file of the stage on the command line."""
    if len(sys.argv) != 2 or sys.argv[1] not in GOLDEN:
        raise SystemExit(f"stage must be one of {', '.join(GOLDEN)}, got {sys.argv[1:]}")
    GOLDEN[sys.argv[1]].renew()


if __name__ == "__main__":
    main()
