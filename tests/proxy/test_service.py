"""What the connections of a worker share."""

from stage import Stage, until

from balance.proxy.service import Service


def test_request_ids_are_never_given_twice(stage: Stage) -> None:
    workers = [Service(stage.loop, stage.row, 0.0, None) for _ in range(3)]
    ids = [worker.next_request_id() for worker in workers for _ in range(1000)]
    assert len(set(ids)) == 3000
    assert all(len(it) == 24 and int(it, 16) for it in ids)
    assert ids[:1000] == sorted(ids[:1000])  # in the order of their worker's requests


async def test_connections_are_those_that_are_open(stage: Stage) -> None:
    await stage.open(stage.refusing())
    clients = [await stage.client() for _ in range(3)]
    await until(lambda: len(stage.service.connections) == 3)
    for client in clients:
        client.close()
    await stage.settled()
    assert stage.service.connections == set()
