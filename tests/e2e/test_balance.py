"""Connections spread over the workers: nobody holds much more than a share."""
from harness import Upstream, Weir, config, openai_answer, wait_until


def connections(weir):
    weir.status()
    return [w["detail"]["connections"] for w in weir.status()["workers"] if w["state"] == "serving"]


def test_connections_are_shared():
    for workers in (2, 4):
        with Upstream(openai_answer("ok")) as up, Weir(config(up, workers=workers)) as weir:
            clients = []
            for wanted in range(40, 401, 40):
                while len(clients) < wanted:
                    clients.append(weir.client())
                wait_until(lambda: sum(connections(weir)) == wanted, "all connections to be accepted")
            counts, mean = connections(weir), 400 / workers
            assert max(counts) <= mean * 9 / 8 + 20, counts
            for c in clients:
                c.close()
            wait_until(lambda: sum(connections(weir)) == 0, "all connections to be gone")


def test_a_burst_is_shared():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        clients = [weir.client() for _ in range(500)]
        wait_until(lambda: sum(connections(weir)) == 500, "all connections to be accepted")
        counts = connections(weir)
        assert max(counts) <= 310, counts
        for c in clients:
            assert c.chat().response().status == 200
            c.close()


def test_one_worker_left_takes_all():
    """Who is above the mean pauses, but not for a worker that doesn't answer."""
    import os
    import signal
    with Upstream(openai_answer("ok")) as up, Weir(config(up, watchdog="0s")) as weir:
        stopped, other = weir.worker_pids()
        os.kill(stopped, signal.SIGSTOP)
        weir.wait_log(f"event=worker.stall .*pid={stopped}")
        clients = [weir.client() for _ in range(60)]
        for c in clients:
            assert c.chat().response().status == 200
        os.kill(stopped, signal.SIGCONT)
        for c in clients:
            c.close()
