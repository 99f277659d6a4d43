"""A gateway whose jobs run at a Slurm."""

from tests.daemon import Gateway
from tests.slurm import Slurm

RUN = """
[run.slurm]
poll_min = "1s"
kill_after = "5s"
"""


def on(cluster: Slurm, gateway: Gateway, *, grace: str = "2s") -> Gateway:
    """Have a gateway's jobs run on a cluster."""
    gateway.environment = dict(cluster.environment)
    told = f'[run]\nengine = "slurm"\ngrace = "{grace}"\n'
    gateway.config.write_text(gateway.config.read_text().replace("[run]\n", told) + RUN)
    return gateway
