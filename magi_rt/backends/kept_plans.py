"""Plans of an opened world: kept where that can be, else made for this run."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref

from magi_rt.export.manifest import PlanIdentity
from magi_rt.export.plan_cache import BuildInto, Plan, PlanCache

logger = logging.getLogger(__name__)


def plan_for(holder: object, plans: PlanCache, identity: PlanIdentity, build: BuildInto) -> Plan:
    """A plan from the cache; where it can keep none, from a folder that lives as long as holder.

    Raises:
        OSError: temporary files cannot be written either.
    """
    try:
        return plans.get(identity, build)
    except OSError as error:
        # as text: a log that is kept would keep the error, and that the holder
        logger.warning("plans cannot be kept in %s: %s", plans.folder, str(error))
        room = tempfile.mkdtemp(prefix="magi_rt-")
        weakref.finalize(holder, shutil.rmtree, room, ignore_errors=True)
        return PlanCache(room).get(identity, build)
