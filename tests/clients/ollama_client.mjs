// The official Node SDK of Ollama against weir.
import { KEY, NARROW, TARGETS, TOOL_SCHEMA, URL_OF_WEIR, check, main, sdk, test } from "./client_test.mjs";

const { Ollama } = sdk("ollama");
const clientOf = (key) => new Ollama({ host: URL_OF_WEIR + "/ollama", headers: { authorization: "Bearer " + key } });
const client = clientOf(KEY), narrow = clientOf(NARROW), wrong = clientOf("x");
const messages = [{ role: "user", content: "How do rivers carry sediment?" }];
const tools = ["get_weather", "get_time"].map((name) => ({ type: "function", function: { name, description: name, parameters: TOOL_SCHEMA } }));
const ask = (model, more = {}, from = client) => from.chat({ model, messages, ...more });

async function streamed(model, more = {}) {
  const parts = [];
  for await (const part of await ask(model, { stream: true, ...more })) parts.push(part);
  return parts;
}

async function fails(status, fn) {
  const error = await fn().then(() => null, (e) => e);
  check(error, `nothing was raised, ${status} was due`);
  check(!status || error.status_code === status, `${error.status_code} instead of ${status}: ${error.message}`);
  return error;
}

test("answers whole", TARGETS, async (target) => {
  const answer = await ask(target + "/demo");
  check(answer.message.content.includes("rivers carry") && answer.done_reason === "stop" && answer.eval_count === 20, answer);
});

test("streams the same", TARGETS, async (target) => {
  const whole = await ask(target + "/demo"), parts = await streamed(target + "/demo");
  check(parts.map((p) => p.message.content).join("") === whole.message.content && parts.at(-1).done, parts.at(-1));
});

test("loops with tools", TARGETS, async (target) => {
  const model = target + "/demo?tool=get_weather", { message } = await ask(model, { tools });
  check(message.tool_calls[0].function.name === "get_weather" && message.tool_calls[0].function.arguments.city === "Paris", message);
  const turns = [...messages, message, { role: "tool", tool_name: "get_weather", content: "18 degrees" }];
  check((await ask(model, { tools, messages: turns })).message.content.includes("18 degrees"), "the result");
});

test("streams parallel calls", TARGETS, async (target) => {
  const calls = (await streamed(target + "/demo?tool=any&calls=2", { tools })).flatMap((p) => p.message.tool_calls ?? []);
  check(calls.map((c) => c.function.name).join() === "get_weather,get_time", calls);
});

test("upstream errors have their status", TARGETS, async (target) => {
  await fails(429, () => ask(target + "/demo?status=429"));
  await fails(400, () => ask(target + "/demo?status=400"));
  await fails(0, () => ask(target + "/demo?status=500"));
});

test("broken streams are never complete", TARGETS, async (target) => {
  for (const fault of ["fin_after=700", "rst_after=700", "garble=4", "error_event=3"])
    await fails(0, () => streamed(`${target}/demo?${fault}`));
});

test("weir's own errors have their status", [null], async () => {
  const bad = await fails(400, () => ask("demo", { options: { temperature: "hot" } }));
  check(bad.message.includes("options.temperature"), bad.message);
  await fails(404, () => ask("no-such-model"));
  await fails(401, () => ask("demo", {}, wrong));
  await fails(403, () => ask("simulator/demo", {}, narrow));
});

test("models are listed", [null], async () => {
  check((await client.list()).models.map((m) => m.name).includes("demo"), "the list");
});

await main();
