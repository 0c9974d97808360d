"""Keeps jobs and reality together: starts drivers, reads the runs' folders, hears Ray, writes news down.

A loop in every process of the service; each job is looked after by one of them at a time. All it knows
is in the database, the folders and Ray, so that a restart at any moment loses nothing.
"""

import asyncio
import json
import logging
import os
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from fo1_data.errors import Fo1Error
from fo1_data.storage.reach import PUBLIC_ONLY, ROOTS
from schemas.dataset import Manifest, RunState
from schemas.jobs import RunConfig
from services.background import Loop
from services.database.engine import Database
from services.database.models import Job, now
from services.datasets import registry
from services.jobs import repository, service
from services.jobs.cluster import Cluster
from services.jobs.ray_jobs import DriverState, RayJobs, RayUnreachable, driver_command
from services.jobs.run_folder import FolderNews, read_finished, read_news
from services.jobs.service import JobNews
from services.jobs.states import JobState
from services.jobs.verdict import Facts, Verdict, judge
from services.metrics import Metrics
from services.settings import Settings

_log = logging.getLogger("fo1.service")
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


class Reconciler:
    """Run its `loop`; `wake` it where something has just been asked for."""

    def __init__(self, settings: Settings, database: Database, cluster: Cluster, metrics: Metrics) -> None:
        self._settings, self._database = settings, database
        self._cluster, self._metrics = cluster, metrics
        self._told: set[str] = set()
        self.loop = Loop("jobs", self.look_once, settings.reconcile_every_s)

    def wake(self) -> None:
        """Look at what is due now."""
        self.loop.wake()

    async def look_once(self) -> bool:
        """Look after every job that is due; False, for all that is due is done."""
        due = now() - timedelta(seconds=self._settings.reconcile_every_s * 0.9)
        async with self._database.writing() as session:
            job_ids = await repository.claim_due(session, due)
        reasons = await asyncio.gather(*(self._look_after(job_id) for job_id in job_ids))
        if job_ids:
            self._tell({reason for reason in reasons if reason is not None})
        async with self._database.reading() as session:
            for state, count in (await repository.count_by_state(session)).items():
                self._metrics.jobs.labels(state).set(count)
        return False

    async def _look_after(self, job_id: str) -> str | None:
        """Look after one job; why Ray is silent about it, where it is."""
        try:
            async with self._database.reading() as session:
                job = await repository.get_job(session, job_id)
            if job is not None and not JobState(job.state).is_end:
                return await self._look_at(job)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("job %s is not looked after at the moment: %s", job_id, error)
        except Exception:
            _log.exception("looking after job %s", job_id)
        return None

    def _tell(self, silent: set[str]) -> None:
        """Log why Ray is silent: once for all jobs, and again only where it was not so the time before."""
        for reason in sorted(silent - self._told):
            _log.warning("%s: jobs wait, and those at work are judged by their folders", reason)
        self._told = silent

    async def _look_at(self, job: Job) -> str | None:
        facts, manifest, jobs = await self._facts(job)
        verdict = judge(facts, self._settings.driver_lost_after_s)
        if job.cancel_requested and facts.driver is not None and facts.driver.status not in _ENDED:
            assert jobs is not None
            with suppress(RayUnreachable):  # asked again the next time
                await jobs.stop(job.submission_id or "")
        silent = facts.unreachable
        if verdict.submit:
            try:
                verdict = await self._submit(job)
            except RayUnreachable as error:
                silent, verdict = str(error), Verdict(JobState.QUEUED)
        await self._write_down(job, facts, verdict, manifest)
        return silent

    async def _facts(self, job: Job) -> tuple[Facts, Manifest | None, RayJobs | None]:
        folder = await asyncio.to_thread(read_news, job.out)
        driver: DriverState | None = None
        unreachable: str | None = None
        jobs: RayJobs | None = None
        log: list[str] = []
        manifest: Manifest | None = None
        try:
            jobs = await self._cluster.jobs(start=job.state == JobState.QUEUED and not job.cancel_requested)
            driver = await jobs.find(job.submission_id or "")
            if driver is not None and driver.status in _ENDED:
                log = await jobs.log_tail(job.submission_id or "")
        except Fo1Error as error:
            if job.state == JobState.QUEUED and not isinstance(error, RayUnreachable):
                driver = DriverState("FAILED", str(error))  # no Ray can be started
            else:
                unreachable = str(error)
        if driver is not None and driver.status == "SUCCEEDED":
            manifest = await asyncio.to_thread(read_finished, job.out)
        heard = job.seen_at or job.created_at
        facts = Facts(
            state=JobState(job.state),
            cancel_requested=job.cancel_requested,
            driver=driver,
            unreachable=unreachable,
            folder=folder if _is_of_this_try(folder, job) else FolderNews(None, None),
            heard_s_ago=(now() - heard).total_seconds(),
            finished=manifest is not None,
            log=tuple(log),
        )
        return facts, manifest, jobs

    async def _submit(self, job: Job) -> Verdict:
        """Start the job's driver. Raises RayUnreachable where it is not known whether that went well."""
        try:
            jobs = await self._cluster.jobs(start=True)
            settings = RunConfig.model_validate(job.config).model_dump(mode="json", exclude_defaults=True)
            command = driver_command(self._cluster.python, settings)
            metadata = {"fo1_job": job.id, "out": job.out}
            await jobs.submit(job.submission_id or "", command, self._environment(job), metadata)
        except RayUnreachable:
            raise
        except Fo1Error as error:
            return Verdict(JobState.FAILED, str(error))
        return Verdict(JobState.QUEUED)

    def _environment(self, job: Job) -> dict[str, str]:
        """What a driver and its labellers need of the service's settings."""
        found = {
            "FO1_JOB_ID": job.id,
            ROOTS: json.dumps(list(self._settings.roots)),
            PUBLIC_ONLY: "0" if self._settings.allow_private_addresses else "1",
            "RAY_JOB_STOP_WAIT_TIME_S": "10",
        }
        for name in ("HF_HUB_OFFLINE", "FO1_CACHE_DIR", "OMP_NUM_THREADS"):
            if name in os.environ:
                found[name] = os.environ[name]
        return found

    async def _write_down(self, seen: Job, facts: Facts, verdict: Verdict, manifest: Manifest | None) -> None:
        async with self._database.writing() as session:
            job = await repository.lock_job(session, seen.id)
            # Somebody resumed it meanwhile: what we saw was of the try before.
            if job is None or job.submission_id != seen.submission_id or JobState(job.state).is_end:
                return
            if facts.unreachable is None:
                job.seen_at = now()
            progress = facts.folder.progress
            news: dict[str, Any] = {"state": verdict.state, "error": verdict.error}
            if progress is not None:
                news["progress"] = progress.model_dump(mode="json")
                news["counts"] = _counts_so_far(news["progress"])
            if verdict.state is JobState.SUCCEEDED and manifest is not None:
                record = await registry.register(session, job.out, manifest)
                news |= {"counts": manifest.counts.model_dump(mode="json"), "dataset_id": record.id}
            await service.learn(session, job, JobNews(**news))


def _counts_so_far(progress: dict[str, Any]) -> dict[str, Any]:
    return {key: progress[key] for key in ("images", "rejected", "regions", "accepted", "audit", "review")}


def _is_of_this_try(folder: FolderNews, job: Job) -> bool:
    """False for figures that an earlier driver left in the folder before this try began."""
    progress = folder.progress
    if progress is None or progress.state is RunState.RUNNING:
        return True
    return job.state != JobState.QUEUED
