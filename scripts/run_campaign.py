"""Run a campaign, as `xplore run` does: python scripts/run_campaign.py mnist --seeds 100"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout, too

from xplore import cli

if __name__ == "__main__":
    sys.argv = ["xplore", "run", *sys.argv[1:]]
    cli.main()
