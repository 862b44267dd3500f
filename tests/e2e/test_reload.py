"""Reload: nothing is lost, nothing is cut; what was live is untouched by edits; what is broken changes nothing and says why."""
import os
import shutil
import signal
import threading
import time

from harness import BUILD, DEADLINE, SLOW, Upstream, Weir, config, openai_answer, openai_body, send_openai_stream, wait_until
from hostile import hostile_config, plugin


class Load:
    """Clients that ask one request after the other over kept connections, and note everything that goes wrong. A connection
    whose answer said `Connection: close` is opened anew; one that ends without having said so is a failure."""

    def __init__(self, weir, clients=4, streams=2, pause=0.0):
        self.weir, self.pause = weir, pause
        self.failures, self.counts = [], [0] * (clients + streams)
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i, i >= clients)) for i in range(clients + streams)]
        for thread in self.threads:
            thread.start()

    def run(self, number, is_stream):
        client = None
        while not self.is_over.is_set():
            try:
                client = client or self.weir.client()
                answer = client.chat(stream=is_stream).response()
                if answer.status != 200 or not answer.is_complete or (is_stream and answer.events[-1] != "[DONE]"):
                    self.failures.append(repr(answer))
                    return
                self.counts[number] += 1
                if answer.headers.get("connection", "").lower() == "close":
                    client.close()
                    client = None
                if self.pause:
                    self.is_over.wait(self.pause)
            except Exception as e:  # noqa: BLE001: whatever it is, it counts
                self.failures.append(f"client {number} after {self.counts[number]} requests: {e!r}")
                return
        if client:
            client.close()

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(DEADLINE)
        assert not self.failures, self.failures
        assert min(self.counts) > 0, self.counts
        return sum(self.counts)


def generation(weir):
    return weir.status()["generation"]


def wait_gone(weir, number):
    wait_until(lambda: number not in [g["number"] for g in weir.status()["generations"]], f"generation {number} to be gone")


def test_reload_under_load_loses_nothing():
    with Upstream(openai_stream_or_answer()) as up, Weir(config(up)) as weir:
        load = Load(weir)
        for _ in range(6):
            done = sum(load.counts)
            wait_until(lambda: len(weir.status()["generations"]) < 3, "an old generation to be gone")  # else it is cut
            ok, text = weir.reload()
            assert ok, text
            wait_until(lambda: load.failures or sum(load.counts) > done + 20, "the load to go on")
        load.stop()
        status = weir.status()
        assert status["generation"] == 7, status
        wait_until(lambda: len(weir.status()["generations"]) == 1, "the old generations to drain")
        assert [f for f in os.listdir(weir.path("state")) if f.startswith("gen-")] == ["gen-7"]


def openai_stream_or_answer(texts=("a", "b"), gate=None):
    def handler(conn):
        while request := conn.read_request():
            if request.json.get("stream"):
                send_openai_stream(conn, request, texts, gate)
            else:
                conn.respond(200, openai_body("whole"))
    return handler


def test_idle_connections_may_ask_once_more():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        clients = [weir.client() for _ in range(8)]
        for c in clients:
            assert c.chat().response().status == 200
        load = Load(weir, clients=2, streams=0)
        assert weir.reload()[0]
        for c in clients:  # they didn't look whether they are still wanted
            answer = c.chat().response()
            assert answer.status == 200 and answer.headers["connection"].lower() == "close", answer
            assert c.is_closed()
            c.close()
        load.stop()
        wait_gone(weir, 1)


def test_streams_go_on_through_reloads():
    gate = threading.Event()
    with Upstream(openai_stream_or_answer(("a", "b"), gate)) as up, Weir(config(up)) as weir:
        client = weir.client()
        client.chat(stream=True).head()
        assert client.event() is not None
        assert weir.reload()[0]
        assert weir.reload()[0]
        assert len(weir.status()["generations"]) >= 2
        gate.set()
        rest = client.rest()
        assert rest.is_complete and rest.events[-1] == "[DONE]", rest
        client.close()
        wait_gone(weir, 1)


def test_at_most_three_generations_the_oldest_is_cut():
    gate = threading.Event()
    with Upstream(openai_stream_or_answer(("a", "b"), gate)) as up, Weir(config(up)) as weir:
        clients = []
        for _ in range(4):
            client = weir.client()
            client.chat(stream=True).head()
            assert client.event() is not None
            clients.append(client)
            assert weir.reload()[0]
        wait_gone(weir, 1)
        wait_gone(weir, 2)
        assert len(weir.status()["generations"]) == 3
        gate.set()
        assert not clients[0].rest().is_complete
        assert not clients[1].rest().is_complete
        for client in clients[2:]:
            assert client.rest().is_complete
        for client in clients:
            client.close()


def test_a_changed_configuration_is_live():
    with Upstream(openai_answer("one")) as one, Upstream(openai_answer("two")) as two, Weir(config(one)) as weir:
        assert weir.chat().content == "one"
        first = weir.status()["hash"]
        weir.configure(config(two))
        ok, text = weir.reload()
        assert ok and "generation 2" in text, text
        assert weir.chat().content == "two"
        assert weir.status()["hash"] != first


def test_sighup_reloads():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        weir.signal(signal.SIGHUP)
        wait_until(lambda: generation(weir) == 2, "generation 2")


def test_a_broken_configuration_changes_nothing():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        load = Load(weir, clients=2, streams=1)
        weir.configure(config(up, entrance=["auth"]))
        ok, text = weir.reload()
        assert not ok and "entrance" in text and "weir.yaml:" in text, text
        assert "generation 1 goes on" in text, text
        weir.write("weir.yaml", "listen: [\n")
        ok, text = weir.reload()
        assert not ok and "weir.yaml:" in text, text
        os.unlink(weir.config_path)
        ok, text = weir.reload()
        assert not ok and "weir.yaml" in text, text
        load.stop()
        assert generation(weir) == 1
        assert "event=reload.failed" in weir.log()


def test_a_dead_worker_comes_back_from_the_snapshot():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        weir.write("weir.yaml", "this is: [broken\n")
        for _ in range(3):
            victim = weir.worker_pids()[0]
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: victim not in weir.worker_pids() and len(weir.worker_pids()) == 2, "a new worker")
        for _ in range(10):
            assert weir.chat().content == "ok"


def test_an_overwritten_plugin_reaches_no_living_generation():
    with Upstream(openai_answer("ok")) as up:
        setting = hostile_config(up)
        weir = Weir(setting)
        mine = weir.path("hostile.so")
        shutil.copy(plugin(), mine)
        setting["plugins"] = [mine]
        weir.configure(setting)
        with weir:
            assert weir.chat().status == 200
            with open(mine, "r+b") as f:  # in place, as cp does
                f.write(b"\0" * 4096)
                f.truncate(4096)
            pids = weir.worker_pids()
            for _ in range(10):
                assert weir.chat().status == 200
            assert weir.worker_pids() == pids
            os.kill(pids[0], signal.SIGKILL)
            wait_until(lambda: pids[0] not in weir.worker_pids() and len(weir.worker_pids()) == 2, "a new worker")
            for _ in range(10):
                assert weir.chat().status == 200
            ok, text = weir.reload()
            assert not ok and "hostile.so" in text, text
            assert weir.chat().status == 200


def test_a_stage_that_refuses_keeps_the_old_generation():
    with Upstream(openai_answer("ok")) as up, Weir(hostile_config(up)) as weir:
        for wish, part in (("fail", "hostile"), ("crash", "hostile")):
            weir.configure(hostile_config(up, options={"on_create": wish}))
            ok, text = weir.reload()
            assert not ok and part in text and "generation 1 goes on" in text, text
            assert weir.chat().status == 200
        # the refusal is told at once; what the refused generation still had is reaped behind it
        wait_until(lambda: [g["number"] for g in weir.status()["generations"]] == [1], "the refused generations to be gone")
        wait_until(lambda: [f for f in os.listdir(weir.path("state")) if f.startswith("gen-")] == ["gen-1"], "their folders to be gone")


def test_listeners_come_and_go():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        first = weir.address
        socket_path = "unix:" + weir.path("weir.sock")
        weir.configure(config(up, listen=["127.0.0.1:0", socket_path]))
        assert weir.reload()[0]
        weir.address = socket_path
        assert weir.chat().content == "ok"
        weir.address = first
        assert weir.chat().content == "ok"
        weir.configure(config(up, listen=[socket_path]))
        assert weir.reload()[0]
        wait_gone(weir, 2)
        try:
            weir.chat()
            raise AssertionError("the old address still answers")
        except ConnectionError:
            pass
        weir.address = socket_path
        assert weir.chat().content == "ok"
        weir.configure(config(up, listen=[socket_path, up.url[7:]]))
        ok, text = weir.reload()
        assert not ok and "in use" in text and up.url[7:] in text, text


def test_workers_more_and_fewer():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        for n in (4, 1, 2):
            weir.configure(config(up, workers=n))
            assert weir.reload()[0]
            assert len(weir.worker_pids()) == n
            assert weir.chat().status == 200


def test_figures_outlive_a_reload():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        for _ in range(5):
            assert weir.chat().status == 200
        assert weir.reload()[0]
        assert weir.metric("weir_target_calls_total") == 5
        assert weir.chat().status == 200
        wait_until(lambda: weir.metric("weir_target_calls_total") == 6, "the sixth call to be counted")


def test_binary_upgrade_in_place():
    gate = threading.Event()
    with Upstream(openai_stream_or_answer(("a", "b"), gate)) as up, Weir(config(up)) as weir:
        client = weir.client()
        client.chat(stream=True).head()
        assert client.event() is not None
        load = Load(weir, clients=3, streams=0)
        old_pids = set(weir.worker_pids())
        weir.signal(signal.SIGUSR2)
        weir.wait_log("event=upgrade")
        wait_until(lambda: generation_or_none(weir) == 2, "the new program's generation", 10 * SLOW)
        assert weir.status()["pid"] == weir.pid
        assert not old_pids & set(weir.worker_pids())
        done = sum(load.counts)
        wait_until(lambda: load.failures or sum(load.counts) > done + 20, "the load to go on")
        gate.set()
        rest = client.rest()
        assert rest.is_complete and rest.events[-1] == "[DONE]", rest
        client.close()
        load.stop()
        wait_gone(weir, 1)
        assert weir.metric("weir_target_calls_total") > 10


def generation_or_none(weir):
    try:
        return generation(weir)
    except OSError:
        return None


def test_upgrade_to_a_program_that_does_not_run():
    with Upstream(openai_answer("ok")) as up:
        weir = Weir(config(up))
        program = weir.path("bin/weir")
        os.makedirs(weir.path("bin"))
        for name in os.listdir(BUILD):
            if name in ("plugins", "providers", "lua", "policies"):
                os.symlink(os.path.join(BUILD, name), weir.path("bin/" + name))
        shutil.copy(os.path.join(BUILD, "weir"), program)
        weir.program = program
        with weir:
            os.unlink(program)
            weir.write("bin/weir", "#!/bin/sh\nexit 1\n")
            os.chmod(program, 0o755)
            weir.signal(signal.SIGUSR2)
            weir.wait_log("event=upgrade.failed")
            assert generation(weir) == 1 and weir.chat().status == 200


def test_many_reloads_in_a_row():
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        started = time.monotonic()
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(weir.reload())) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(DEADLINE)
        assert len(answers) == 4 and all(ok for ok, _ in answers), answers
        assert time.monotonic() - started < 10 * SLOW
        assert weir.chat().status == 200
