"""Keeps the database in step with the jobs: starts drivers, reads run folders and Ray, stores what changed.

A loop in every process of the service; one process at a time works on a job. Its state is in the database,
the folders and Ray, so a restart at any moment loses nothing.
"""

import asyncio
import json
import logging
import os
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from fo1_data.errors import Fo1Error, StorageError, first_line
from fo1_data.logs import about
from fo1_data.storage.reach import PUBLIC_ONLY, ROOTS
from schemas.corpus import NOT_KEPT
from schemas.dataset import Manifest
from schemas.jobs import RunConfig
from schemas.progress import RunState
from services.background import Loop
from services.database.engine import Database
from services.database.models import Job, utc_now
from services.database.outages import outage_reason
from services.datasets import registry
from services.datasets.project_roots import ProjectRoots
from services.jobs import opinion_servers, repository, service
from services.jobs.cluster import Cluster
from services.jobs.ray_jobs import DriverState, RayJobs, RayUnreachable, driver_command, driver_files
from services.jobs.run_folder import FolderNews, read_finished, read_news
from services.jobs.service import JobNews
from services.jobs.states import JobState
from services.jobs.verdict import Facts, Verdict, judge_job
from services.jobs.waiting import reason_to_wait
from services.metrics import Metrics
from services.settings import Settings

_log = logging.getLogger("fo1.service")
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
# How long one step waits for a local Ray that starts, before it says so and checks the job again.
_WAIT_FOR_RAY_S = 1.0
_MAX_LOG_CHARACTERS = 20_000


class Reconciler:
    """Run its `loop`; call `wake` after a request that changes a job."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        cluster: Cluster,
        metrics: Metrics,
        roots: ProjectRoots,
    ) -> None:
        self._settings, self._database, self._roots = settings, database, roots
        self._cluster, self._metrics = cluster, metrics
        self._reported: set[str] = set()
        self.loop = Loop("jobs", self.step, settings.reconcile_every_s)

    def wake(self) -> None:
        """Start the next step now."""
        self.loop.wake()

    async def step(self) -> bool:
        """Reconcile every job that is due. Returns False: nothing is left to do at once."""
        due = utc_now() - timedelta(seconds=self._settings.reconcile_every_s * 0.9)
        async with self._database.writing() as session:
            job_ids = await repository.claim_due(session, due)
        reasons = await asyncio.gather(*(self._try_reconcile(job_id) for job_id in job_ids))
        if job_ids:
            self._report({reason for reason in reasons if reason is not None})
        async with self._database.reading() as session:
            for state, count in (await repository.count_by_state(session)).items():
                self._metrics.jobs.labels(state).set(count)
        return False

    async def _try_reconcile(self, job_id: str) -> str | None:
        """Reconcile one job; return why Ray cannot be reached, or None."""
        try:
            async with self._database.reading() as session:
                job = await repository.get_job(session, job_id)
            if job is not None and not JobState(job.state).is_end:
                with about(job=job_id):
                    return await self._reconcile(job)
        except (SQLAlchemyError, OSError) as error:
            if outage_reason(error) is not None:
                raise  # the loop tells of it once
            _log.warning("job %s could not be checked and will be tried again: %s", job_id, error)
        except Exception:
            _log.exception("checking job %s failed unexpectedly", job_id)
        return None

    def _report(self, reasons: set[str]) -> None:
        """Log why Ray cannot be reached: once for all jobs, and not again while it stays so."""
        for reason in sorted(reasons - self._reported):
            _log.warning("%s: queued jobs wait, and running jobs are judged by their folders", reason)
        self._reported = reasons

    async def _reconcile(self, job: Job) -> str | None:
        facts, manifest, jobs = await self._facts(job)
        verdict = judge_job(facts, self._settings.driver_lost_after_s)
        if job.cancel_requested and facts.driver is not None and facts.driver.status not in _ENDED:
            assert jobs is not None
            with suppress(RayUnreachable):  # the next step tries again
                await jobs.stop(job.submission_id or "")
        unreachable = facts.unreachable
        busy: str | None = None
        if verdict.submit and not await self._is_its_turn(job):
            verdict = Verdict(JobState.QUEUED)
            busy = f"{self._settings.max_jobs_at_work} jobs are at work, the most at once"
        submit = verdict.submit
        if submit:
            try:
                verdict = await self._submit(job)
            except RayUnreachable as error:
                unreachable, verdict = str(error), Verdict(JobState.QUEUED)
        waits_for = busy or reason_to_wait(replace(facts, unreachable=unreachable))
        if verdict.state.is_end:
            waits_for = None
        still_ours = await self._store(job, facts, verdict, manifest, waits_for)
        if submit and not still_ours:
            # Another process found no driver, and cancelled the job, before this driver was there.
            with suppress(Fo1Error):
                await (await self._cluster.jobs(start=False)).stop(job.submission_id or "")
        return unreachable

    async def _is_its_turn(self, job: Job) -> bool:
        async with self._database.reading() as session:
            return job.id in await repository.first_active(session, self._settings.max_jobs_at_work)

    async def _facts(self, job: Job) -> tuple[Facts, Manifest | None, RayJobs | None]:
        folder = _of_this_try(await asyncio.to_thread(read_news, job.out), job)
        driver: DriverState | None = None
        unreachable: str | None = None
        jobs: RayJobs | None = None
        log: list[str] = []
        manifest: Manifest | None = None
        try:
            start = job.state == JobState.QUEUED and not job.cancel_requested
            jobs = await self._cluster.jobs(start=start, wait_s=_WAIT_FOR_RAY_S)
            driver = await jobs.find(job.submission_id or "")
            if driver is not None and (driver.status in _ENDED or folder.progress is None):
                log = await jobs.log_tail(job.submission_id or "")
        except Fo1Error as error:
            if job.state == JobState.QUEUED and not isinstance(error, RayUnreachable):
                driver = DriverState("FAILED", str(error))  # the local Ray cannot start
            else:
                unreachable = str(error)
        unread: str | None = None
        if driver is not None and driver.status == "SUCCEEDED":
            try:
                manifest = await asyncio.to_thread(read_finished, job.out)
            except (StorageError, OSError) as error:
                unread = first_line(error)
        seen_at = job.seen_at or job.created_at
        facts = Facts(
            state=JobState(job.state),
            cancel_requested=job.cancel_requested,
            driver=driver,
            unreachable=unreachable,
            folder=folder,
            seen_s_ago=(utc_now() - seen_at).total_seconds(),
            finished=manifest is not None,
            log=tuple(log),
            unread=unread,
        )
        return facts, manifest, jobs

    async def _submit(self, job: Job) -> Verdict:
        """Start the job's driver. Raises RayUnreachable if it is unknown whether that succeeded."""
        try:
            jobs = await self._cluster.jobs(start=True, wait_s=_WAIT_FOR_RAY_S)
            settings = RunConfig.model_validate(job.config).model_dump(mode="json", exclude_defaults=True)
            command, files = driver_command(self._cluster.python), driver_files(settings)
            metadata = {"fo1_job": job.id, "out": job.out}
            environment = await self._environment(job)
            await jobs.submit(job.submission_id or "", command, environment, metadata, files)
        except RayUnreachable:
            raise
        except Fo1Error as error:
            return Verdict(JobState.FAILED, str(error))
        return Verdict(JobState.QUEUED)

    async def _environment(self, job: Job) -> dict[str, str]:
        """Return the environment variables that a driver and its labellers need from the service."""
        variables = {
            "FO1_JOB_ID": job.id,
            ROOTS: json.dumps(await self._roots.addresses(job.project_id)),
            PUBLIC_ONLY: "0" if self._settings.allow_private_addresses else "1",
            "RAY_JOB_STOP_WAIT_TIME_S": "10",
        }
        for name in ("HF_HUB_OFFLINE", "FO1_CACHE_DIR", "OMP_NUM_THREADS"):
            if name in os.environ:
                variables[name] = os.environ[name]
        config = RunConfig.model_validate(job.config)
        return variables | opinion_servers.variables(config, self._settings)

    async def _store(
        self, seen: Job, facts: Facts, verdict: Verdict, manifest: Manifest | None, waits_for: str | None
    ) -> bool:
        """Store what was found out; False if the job has ended, or was resumed, in the meantime."""
        async with self._database.writing() as session:
            job = await repository.lock_job(session, seen.id)
            # If the job was resumed in the meantime, the facts are of the previous try.
            if job is None or job.submission_id != seen.submission_id or JobState(job.state).is_end:
                return False
            if facts.unreachable is None:
                job.seen_at = utc_now()
            progress = facts.folder.progress
            if verdict.state.is_end and facts.log:
                job.log_tail = "\n".join(facts.log)[-_MAX_LOG_CHARACTERS:]
            news: dict[str, Any] = {"state": verdict.state, "error": verdict.error, "waits_for": waits_for}
            if progress is not None:
                news["progress"] = progress.model_dump(mode="json")
                news["counts"] = _counts_so_far(news["progress"])
            if verdict.state is JobState.SUCCEEDED and manifest is not None:
                record = await registry.register(session, job.out, manifest, job.project_id, job.created_by)
                news |= {"counts": manifest.counts.model_dump(mode="json"), "dataset_id": record.id}
                news["hides_corpus"] = manifest.config.get("corpus") == NOT_KEPT
            await service.apply_news(session, job, JobNews(**news))
        return True


def _counts_so_far(progress: dict[str, Any]) -> dict[str, Any]:
    decisions = ("accepted", "audit", "unreviewed", "review")
    return {key: progress[key] for key in ("images", "rejected", "regions", *decisions)}


def _of_this_try(folder: FolderNews, job: Job) -> FolderNews:
    """Return the news without what an earlier run or an earlier try left in the folder."""
    progress = folder.progress
    if progress is None:
        return folder
    if progress.job_id is None:  # from the command line, or by a driver of an earlier version
        is_ours = _is_after(progress.updated_at, job.created_at)
    else:
        is_ours = progress.job_id == job.id
    is_of_this_try = progress.state is RunState.RUNNING or job.state != JobState.QUEUED
    return folder if is_ours and is_of_this_try else FolderNews(None, None)


def _is_after(moment: str | None, other: datetime) -> bool:
    try:
        return moment is not None and datetime.fromisoformat(moment) >= other
    except (ValueError, TypeError):
        return False
