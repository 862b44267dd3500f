"""The numbers: each function takes a Session, runs its loads interleaved, and adds rows to the report.

Within one repetition the targets run one after the other, in turning order; ratios and differences are made within a
repetition, and the median of the repetitions counts."""

import contextlib
import os
import statistics
import time

import prompts
import rig as bench
from grid import Grid
from procs import Broken

KIB = 1024


class Session:
    def __init__(self, rig, report, quick):
        self.rig, self.report, self.quick = rig, report, quick
        self.repeats = 1 if quick else 3

    def scaled(self, n):
        return max(n // 10, 1) if self.quick else n

    def log(self, text):
        print(f"  {text}", flush=True)

    @contextlib.contextmanager
    def servers(self):
        """{name: program} of nginx and, if it is built, weir with one worker."""
        with contextlib.ExitStack() as stack:
            running = {"nginx": stack.enter_context(self.rig.nginx())}
            if self.rig.weir:
                running["weir"] = stack.enter_context(self.rig.weir_serving(workers=1))
            yield running


class Variant:
    """One kind of load on one program; `name` is what the results call it."""

    def __init__(self, name, program, port, dialect, body, **options):
        self.name, self.program, self.port, self.dialect = name, program, port, dialect
        self.body, self.options = body, options


def run_variants(session, running, variants, repeats=None):
    """{name: [report per repetition]} of those variants whose program runs."""
    variants = [v for v in variants if v.program in running]
    reports = {v.name: [] for v in variants}
    for turn in range(repeats or session.repeats):
        for i in range(len(variants)):
            v = variants[(i + turn) % len(variants)]
            reports[v.name].append(session.rig.load_measured(running[v.program], v.port, v.dialect, v.body, **v.options))
    return reports


def median(values):
    return statistics.median(values)


def per_unit_us(reports, units):
    return [r["cpu_s"] * 1e6 / units for r in reports]


def ratio_row(session, number, what, reports, units, limit, pair):
    """A row that compares CPU per call or event of two variants."""
    ours, theirs = pair
    base = per_unit_us(reports[theirs], units)
    row = {"number": number, "what": what, "target": f"<= {limit} x nginx", "nginx_us": median(base),
           "nginx_load": median([r["load_per_processor"] for r in reports[theirs]]),
           "foreign": max(r["foreign"] for name in pair for r in reports.get(name, [])),
           "samples": {theirs: base}}
    if ours in reports:
        mine = per_unit_us(reports[ours], units)
        row.update(weir_us=median(mine), weir_load=median([r["load_per_processor"] for r in reports[ours]]),
                   value=median([m / b for m, b in zip(mine, base)]), limit=limit)
        row["samples"][ours] = mine
        row["reached"] = f"{row['value']:.2f} x ({row['weir_us']:.1f} : {row['nginx_us']:.1f} µs)"
    else:
        row["reached"] = f"nginx alone: {row['nginx_us']:.1f} µs"
    session.log(f"{number} {what}: {row['reached']}, target {row['target']}")
    session.report.add(row)


def number_1(session):
    """CPU of a 1 KB call."""
    rig, calls = session.rig, session.scaled(60000)
    chat, messages = (rig.body(prompts.dump(prompts.committed(f))) for f in ("chat-1k.json", "messages-1k.json"))
    answer = os.path.join(bench.HERE, "answer.json")
    options = {"conns": 32, "calls": calls, "marks": 1}
    variants = [Variant("nginx", "nginx", "nginx", bench.OPENAI, chat, expect=answer, **options),
                Variant("same", "weir", "weir", bench.OPENAI, chat, expect=answer, **options),
                Variant("across", "weir", "weir", bench.ANTHROPIC, messages, **options)]
    with session.servers() as running:
        for v in variants:
            if v.program in running:
                rig.load([v.port], v.dialect, v.body, conns=32, calls=max(calls // 10, 32), marks=1)
        reports = run_variants(session, running, variants, repeats=1 if session.quick else 5)
    ratio_row(session, 1, "CPU per 1 KB call, same dialect", reports, calls, 3.0, ("same", "nginx"))
    ratio_row(session, 1, "CPU per 1 KB call, Anthropic client, OpenAI upstream", reports, calls, 4.5, ("across", "nginx"))


def latency_row(session, what, allowed, reports, key):
    def at(report, name):
        return report["targets"][name]["total_us"][key]
    samples = {name: [at(r, name) for r in reports] for name in reports[0]["targets"]}
    row = {"number": 2, "what": what, "target": f"<= nginx + {allowed} µs", "samples": samples}
    row.update({name + "_us": median(values) for name, values in samples.items()})
    names = ", ".join(f"{name} {row[name + '_us']:.0f}" for name in samples)
    row["reached"] = f"({names} µs)"
    if "weir" in samples:
        row.update(value=median([w - n for w, n in zip(samples["weir"], samples["nginx"])]), limit=allowed)
        beyond_direct = median([w - d for w, d in zip(samples["weir"], samples["direct"])])
        row["reached"] = f"nginx {row['value']:+.0f} µs, direct {beyond_direct:+.0f} µs {row['reached']}"
    session.log(f"2 {what}: {row['reached']}, target {row['target']}")
    session.report.add(row)


def number_2(session):
    """Latency on one connection; direct, nginx and weir take turns call by call."""
    rig, rounds = session.rig, session.scaled(10000)
    chat = rig.body(prompts.dump(prompts.committed("chat-1k.json")))
    rig.ports["direct"] = rig.ports["mock"]
    with session.servers() as running, rig.on_one_processor():
        targets = ["direct", *running]
        options = {"interleave": True, "expect": os.path.join(bench.HERE, "answer.json"), "skip": len(targets) * 200}
        reports = [rig.load(targets, bench.OPENAI, chat, calls=rounds + 200, **options) for _ in range(session.repeats)]
    latency_row(session, "total time on one connection, p50", 40, reports, "p50")
    latency_row(session, "total time on one connection, p99", 200, reports, "p99")


LONG = [("prose", 64, 2.5), ("prose", 256, 2.0), ("code", 64, 3.0), ("code", 256, 3.0)]


def number_3(session):
    """CPU of calls with long prompts."""
    rig = session.rig
    answer = os.path.join(bench.HERE, "answer.json")
    calls = {64: session.scaled(20000), 256: session.scaled(6000), 1024: session.scaled(1500)}
    variants = []
    for kind in ("prose", "code"):
        for size, count in calls.items():
            body = rig.body(prompts.long_chat(kind, size * KIB))
            for program in ("nginx", "weir"):
                variants.append(Variant(f"{program} {kind} {size}", program, program, bench.OPENAI, body, conns=16,
                                        calls=count, expect=answer))
    with session.servers() as running:
        reports = run_variants(session, running, variants, repeats=1 if session.quick else 5)
    for kind, size, limit in LONG:
        ratio_row(session, 3, f"CPU per call, {size} KB prompt, {kind}", reports, calls[size], limit,
                  (f"weir {kind} {size}", f"nginx {kind} {size}"))
    for kind in ("prose", "code"):
        linear_row(session, kind, reports, calls)


def linear_row(session, kind, reports, calls):
    """Linear: four times the prompt costs at most five times as much (quadratic: sixteen times). Beyond four is what the
    caches do to it; nginx's own figures, which stand beside, show how much that is."""
    def growth(program):
        cost = {size: median(per_unit_us(reports[f"{program} {kind} {size}"], n)) for size, n in calls.items()}
        return [cost[256] / cost[64], cost[1024] / cost[256]]
    samples = {program: growth(program) for program in names(session)}
    row = {"number": 3, "what": f"linear, {kind}: CPU of 256 KB : 64 KB, of 1024 KB : 256 KB", "target": "<= 5 x each",
           "samples": samples}
    row["reached"] = "; ".join("{} {:.2f} x, {:.2f} x".format(name, *pair) for name, pair in samples.items())
    if "weir" in samples:
        row.update(value=max(samples["weir"]), limit=5)
    session.log(f"3 {row['what']}: {row['reached']}")
    session.report.add(row)


def number_4(session):
    """CPU per streamed event; time to the first event while many streams are open."""
    rig, streams = session.rig, 500 if session.quick else 1500
    plain = prompts.stream("chat-1k.json", bench.STREAM)
    asked = prompts.stream("chat-1k.json", bench.STREAM, asks_usage=True)
    across = prompts.stream("messages-1k.json", bench.STREAM)
    options = {"conns": 500, "calls": streams, "rate": 1000, "stream": True, "marks": bench.MARKS}
    variants = []
    for name, body in (("plain", rig.body(plain)), ("asked", rig.body(asked))):
        variants.append(Variant(f"nginx {name}", "nginx", "nginx_stream", bench.OPENAI, body, **options))
        variants.append(Variant(f"weir {name}", "weir", "weir", bench.OPENAI, body, **options))
    variants.append(Variant("across", "weir", "weir", bench.ANTHROPIC, rig.body(across), **options))
    with session.servers() as running:
        reports = run_variants(session, running, variants)
        for what, events, limit, pair in (
                ("same dialect", 50, 1.5, ("weir plain", "nginx plain")),
                ("same dialect, usage asked for", 51, 1.5, ("weir asked", "nginx asked")),
                ("Anthropic client, OpenAI upstream", 50, 2.5, ("across", "nginx plain"))):
            ratio_row(session, 4, "CPU per streamed event, " + what, reports, streams * events, limit, pair)
        first_event(session, running)


def first_event(session, running):
    """100 new streams a second of 4.7 s each: after the first 500, which aren't counted, about 500 are open."""
    body = session.rig.body(prompts.stream("chat-1k.json", bench.SLOW_STREAM))
    starts = 800 if session.quick else 1500
    options = {"conns": starts, "calls": starts, "rate": 100, "skip": 500, "stop_at_first": True, "stream": True,
               "marks": bench.MARKS}
    variants = [Variant("nginx", "nginx", "nginx_stream", bench.OPENAI, body, **options),
                Variant("weir", "weir", "weir", bench.OPENAI, body, **options)]
    reports = run_variants(session, running, variants, repeats=1 if session.quick else 5)

    def samples(name, key="p99"):
        port = "nginx_stream" if name == "nginx" else name
        return [r["targets"][port]["first_us"][key] for r in reports[name]]
    row = {"number": 4, "what": "first event with 500 open and 100 new streams a second, p99", "target": "<= nginx + 1 ms",
           "nginx_us": median(samples("nginx")), "nginx_p50_us": median(samples("nginx", "p50")),
           "foreign": max(r["foreign"] for several in reports.values() for r in several),
           "samples": {name: samples(name) for name in reports}}
    row["reached"] = f"nginx {row['nginx_us']:.0f} µs"
    if "weir" in reports:
        row.update(weir_us=median(samples("weir")), weir_p50_us=median(samples("weir", "p50")), limit=1000,
                   value=median(samples("weir")) - row["nginx_us"])
        row["reached"] = f"nginx {row['value']:+.0f} µs ({row['weir_us']:.0f} : {row['nginx_us']:.0f} µs)"
    session.log(f"4 {row['what']}: {row['reached']}")
    session.report.add(row)


def settled_pss(program):
    """Proportional set size once two readings a second apart agree within 64 KiB."""
    last = program.pss_kib()
    for _ in range(10):
        time.sleep(1)
        now = program.pss_kib()
        if abs(now - last) <= 64:
            return now
        last = now
    return last


def per_stream_kib(session, program, port, body, streams, rate):
    """What a stream adds to a program that has answered a few calls."""
    rig = session.rig
    rig.load([port], bench.OPENAI, rig.body(prompts.dump(prompts.committed("chat-1k.json"))), conns=32, calls=320, marks=1)
    before = settled_pss(program)
    with rig.held_open(port, bench.OPENAI, rig.body(body), streams, rate):
        return (settled_pss(program) - before) / streams


def memory_row(session, what, target, samples, limit, text, **more):
    row = {"number": 5, "what": what, "target": target, "samples": samples, **more}
    if "weir" in samples:
        row.update(value=median(samples["weir"]), limit=limit)
    row["reached"] = ", ".join(f"{name} {text.format(median(values))}" for name, values in samples.items() if values)
    session.log(f"5 {what}: {row['reached']}, target {target}")
    session.report.add(row)


def started(session, name):
    return session.rig.nginx() if name == "nginx" else session.rig.weir_serving(workers=2)


def names(session):
    return ["nginx", "weir"] if session.rig.weir else ["nginx"]


def repeat_memory(session, measure):
    """{name: [value per repetition]}, each in a fresh program."""
    samples = {name: [] for name in names(session)}
    for _ in range(session.repeats):
        for name in samples:
            with started(session, name) as program:
                samples[name].append(measure(name, program))
    return samples


def number_5(session):
    """Memory: PSS of all processes, weir with two workers, nginx with one for comparison."""
    idle = repeat_memory(session, lambda name, program: settled_pss(program) / KIB)
    memory_row(session, "idle, two workers", "<= 16 MiB", idle, 16, "{:.1f} MiB")
    streams = 500 if session.quick else 5000
    memory_streams(session, "plaintext upstream", "", streams, 24)
    memory_streams(session, "TLS upstream", "tls", streams, 96)
    for size, count in ((64, 1000), (256, 250)):
        memory_long(session, size, session.scaled(count))
    memory_flat(session)


def memory_streams(session, what, kind, streams, limit):
    def measure(name, program):
        model = ("tls-" if kind and name == "weir" else "") + bench.OPEN_STREAM
        port = "weir" if name == "weir" else "nginx_tls" if kind else "nginx_stream"
        return per_stream_kib(session, program, port, prompts.stream("chat-1k.json", model), streams, 1000 if kind else 2500)
    memory_row(session, f"per open stream, {streams} streams, 1 KB prompts, {what}", f"<= {limit} KiB",
               repeat_memory(session, measure), limit, "{:.1f} KiB")


def memory_long(session, size, streams):
    base = prompts.long_chat("prose", size * KIB - 128)
    body = prompts.stream(None, bench.OPEN_STREAM, base=base)
    limit = len(body) / KIB + 8

    def measure(name, program):
        return per_stream_kib(session, program, "weir" if name == "weir" else "nginx_stream", body, streams, 500)
    memory_row(session, f"per open stream, {streams} streams, {size} KB prompts", f"<= body + 8 KiB = {limit:.1f}",
               repeat_memory(session, measure), limit, "{:.1f} KiB")


def memory_flat(session):
    """Growth over 200,000 calls after the first 20,000; a leak of three bytes a call would show."""
    rig, step = session.rig, session.scaled(20000)
    chat = rig.body(prompts.dump(prompts.committed("chat-1k.json")))
    curves = {}
    for name in names(session):
        with started(session, name) as program:
            curves[name] = []
            for _ in range(11):
                rig.load([name], bench.OPENAI, chat, conns=32, calls=step, marks=1)
                curves[name].append(settled_pss(program))
    growth = {name: [curve[-1] - curve[0]] for name, curve in curves.items()}
    memory_row(session, f"growth over {step * 10} calls", "flat (<= 512 KiB)", growth, 512, "{:+.0f} KiB", curves_kib=curves)


def number_6(session):
    """Every pair of dialects; a conversation of 1 MB with images."""
    rig, calls = session.rig, session.scaled(1500)
    body, answer = rig.body(prompts.with_images(1024 * KIB)), os.path.join(bench.HERE, "answer.json")
    variants = [Variant(program, program, program, bench.OPENAI, body, conns=16, calls=calls, expect=answer)
                for program in ("nginx", "weir")]
    with session.servers() as running:
        reports = run_variants(session, running, variants)
    ratio_row(session, 6, "CPU per call, 1 MB with images", reports, calls, 2.5, ("weir", "nginx"))
    if rig.weir:
        Grid(session).run()


ALL = {1: number_1, 2: number_2, 3: number_3, 4: number_4, 5: number_5, 6: number_6}


def run(session, which):
    """True if every run said something."""
    is_whole = True
    for number in which:
        print(f"number {number}: {ALL[number].__doc__.splitlines()[0]}", flush=True)
        try:
            ALL[number](session)
        except Broken as why:
            is_whole = False
            session.log(f"BROKEN: {why}")
            session.report.add({"number": number, "what": "broken run", "target": "-", "reached": str(why), "broken": True})
    return is_whole
