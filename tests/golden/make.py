"""``python -m tests.golden.make``: compares what all stages compute with their golden files.

``python -m tests.golden.make STAGE`` writes the golden file of a stage again. Run it after the
version of the stage was raised or the mini models were trained again. It refuses other numbers of
the same origin.
"""

import os
import sys
from typing import Final

# MKL, with which PyTorch multiplies, sums in another order on Intel's processors than elsewhere,
# unless it is told so before it is loaded. This makes all of PyTorch slower.
os.environ["MKL_CBWR"] = "COMPATIBLE"

from tests.golden import embed, entropy, extract, train, tune
from tests.golden.golden import Golden

GOLDEN: Final[dict[str, Golden]] = {
    module.GOLDEN.stage: module.GOLDEN for module in (extract, embed, entropy, tune, train)
}


def main() -> None:
    """Renew the golden file of the stage on the command line; without one, compare all."""
    match sys.argv[1:]:
        case []:
            if faults := [fault for golden in GOLDEN.values() for fault in golden.faults()]:
                raise SystemExit("\n".join(faults))
        case [stage] if stage in GOLDEN:
            GOLDEN[stage].renew()
        case arguments:
            raise SystemExit(f"stage must be one of {', '.join(GOLDEN)}, got {arguments}")


if __name__ == "__main__":
    main()
