"""The whole drill in a short form: under a steady load nothing is lost but what a killed worker held."""

from collections.abc import Callable

import pytest
from drill import FEW_FDS, MOST_GROWTH_KB, Drill, Scraper, document
from instance_process import Instance
from steady_load import Load

pytestmark = [pytest.mark.drill, pytest.mark.long, pytest.mark.timeout(180)]

Run = Callable[..., Instance]

SHORT = {"websockets": 20, "download_bytes": 600_000}


def test_nothing_is_lost_but_what_a_killed_worker_held(run: Run) -> None:
    with Load(**SHORT) as load:
        instance = run(**document(load.addresses)).ready()
        with Scraper(instance) as scraper:
            load.begin(instance.port)
            drill = Drill(instance, load)
            drill.run(reloads=10, broken=3, restarts=2, upgrades=2, kills=3)
            report = load.end()
    beyond = report.beyond(drill.counts_done.ports_of_killed_workers)
    assert not beyond, (beyond, report.table())
    assert not report.twice and not report.unseen, report
    assert report.downloads
    assert not scraper.steps_back and not scraper.doubles, (scraper.steps_back[:9], scraper.doubles[:9])


@pytest.mark.long
def test_reloads_leave_no_descriptor_and_no_memory_behind(run: Run) -> None:
    with Load(keeping=2, fresh=1, websockets=4, download_bytes=0, pause_s=0.05) as load:
        instance = run(**document(load.addresses)).ready()
        load.begin(instance.port)
        grown = Drill(instance, load).growth(40)
        report = load.end()
    assert not report.failures, report.failures
    for name, (before, after) in grown.items():
        assert after.fds <= before.fds + FEW_FDS, (name, before, after)
        assert after.pss_kb - before.pss_kb < MOST_GROWTH_KB, (name, before, after)
