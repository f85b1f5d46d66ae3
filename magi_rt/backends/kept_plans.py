"""Plans of an opened world: kept where that can be, else made for this run."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref

from magi_rt.errors import BackendError
from magi_rt.export.manifest import PlanIdentity
from magi_rt.export.plan_cache import CACHE_VARIABLE, BuildInto, Plan, PlanCache

logger = logging.getLogger(__name__)


def plan_for(holder: object, plans: PlanCache, identity: PlanIdentity, build: BuildInto) -> Plan:
    """A plan from the cache; where it can keep none, from a folder that lives as long as holder.

    Raises:
        BackendError: temporary files cannot be written either.
    """

    def waiting() -> None:
        logger.info("another process builds %s; it is waited for", identity.graph)

    try:
        return plans.get(identity, build, waiting)
    except OSError as error:
        # as text: a log that is kept would keep the error, and that the holder
        told = str(error)
    logger.warning("plans cannot be kept in %s: %s", plans.folder, told)
    try:
        room = tempfile.mkdtemp(prefix="magi_rt-")
        weakref.finalize(holder, shutil.rmtree, room, ignore_errors=True)
        return PlanCache(room).get(identity, build)
    except OSError as error:
        raise BackendError(
            f"there is no place for {identity.graph}: neither in {plans.folder} ({told}) nor among "
            f"temporary files ({error}); make room on a disk, name a folder by {CACHE_VARIABLE}, "
            "or use backend='eager', which writes nothing",
            field="backend",
        ) from error
