// Amazon's SDK for JavaScript against weir's Bedrock door. Its usual handler speaks HTTP/2 only; this one speaks HTTP/1.1.
import { KEY, NARROW, TARGETS, TOOL_SCHEMA, URL_OF_WEIR, check, main, sdk, test } from "./client_test.mjs";

const aws = sdk("@aws-sdk/client-bedrock-runtime"), { NodeHttpHandler } = sdk("@smithy/node-http-handler");

function at(key) {
  const client = new aws.BedrockRuntimeClient({
    region: "eu-west-1", endpoint: URL_OF_WEIR + "/bedrock", maxAttempts: 1,
    credentials: { accessKeyId: "unused", secretAccessKey: "unused" },
    requestHandler: new NodeHttpHandler({ requestTimeout: 20000 }),
  });
  // behind the signing, whose place it takes
  client.middlewareStack.add((next) => (args) => {
    args.request.headers.authorization = "Bearer " + key;
    return next(args);
  }, { step: "finalizeRequest", priority: "low", name: "bearerKey" });
  return client;
}

const client = at(KEY), narrow = at(NARROW), wrong = at("x");
const messages = [{ role: "user", content: [{ text: "How do rivers carry sediment?" }] }];
const toolConfig = { tools: [{ toolSpec: { name: "get_weather", description: "Weather", inputSchema: { json: TOOL_SCHEMA } } },
                             { toolSpec: { name: "get_time", inputSchema: { json: { type: "object", properties: {} } } } }] };
const input = (modelId, more) => ({ modelId, messages, inferenceConfig: { maxTokens: 200 }, ...more });
const ask = (modelId, more = {}, from = client) => from.send(new aws.ConverseCommand(input(modelId, more)));
const textOf = (blocks) => blocks.map((b) => b.text ?? "").join("");

async function final(modelId, more = {}) {
  const answer = await client.send(new aws.ConverseStreamCommand(input(modelId, more))), blocks = [];
  let stop, usage;
  for await (const event of answer.stream) {
    const start = event.contentBlockStart, delta = event.contentBlockDelta;
    if (start) blocks[start.contentBlockIndex] = { toolUse: { ...start.start.toolUse, input: "" } };
    if (delta?.delta.text !== undefined) (blocks[delta.contentBlockIndex] ??= { text: "" }).text += delta.delta.text;
    if (delta?.delta.toolUse) blocks[delta.contentBlockIndex].toolUse.input += delta.delta.toolUse.input;
    stop = event.messageStop?.stopReason ?? stop;
    usage = event.metadata?.usage ?? usage;
  }
  check(stop && usage, "the stream has no end");
  return { blocks, stop, usage };
}

async function raises(kind, fn) {
  const error = await fn().then(() => null, (e) => e);
  check(error, `nothing was raised, ${kind} was due`);
  check(error.name === kind && (!aws[kind] || error instanceof aws[kind]), `${error.name} instead of ${kind}: ${error.message}`);
  return error;
}

test("answers whole", TARGETS, async (target) => {
  const answer = await ask(target + "/demo");
  check(textOf(answer.output.message.content).includes("rivers carry") && answer.stopReason === "end_turn", answer);
  check(answer.usage.outputTokens === 20 && answer.usage.inputTokens > 0, answer.usage);
});

test("streams the same", TARGETS, async (target) => {
  const whole = await ask(target + "/demo"), streamed = await final(target + "/demo");
  check(textOf(streamed.blocks) === textOf(whole.output.message.content), streamed);
  check(streamed.stop === "end_turn" && streamed.usage.outputTokens === 20, streamed);
});

test("loops with tools", TARGETS, async (target) => {
  const model = target + "/demo?tool=get_weather", answer = await ask(model, { toolConfig });
  const call = answer.output.message.content.find((b) => b.toolUse).toolUse;
  check(call.name === "get_weather" && answer.stopReason === "tool_use", answer);
  const toolResult = { toolUseId: call.toolUseId, content: [{ text: "18 degrees" }] };
  const turns = [...messages, answer.output.message, { role: "user", content: [{ toolResult }] }];
  check(textOf((await ask(model, { toolConfig, messages: turns })).output.message.content).includes("18 degrees"), "the result");
});

test("streams parallel calls", TARGETS, async (target) => {
  const { blocks, stop } = await final(target + "/demo?tool=any&calls=2", { toolConfig });
  const calls = blocks.filter((b) => b.toolUse).map((b) => b.toolUse);
  check(calls.map((c) => c.name).join() === "get_weather,get_time" && stop === "tool_use", blocks);
  for (const c of calls) JSON.parse(c.input);
});

test("upstream errors have their class", TARGETS, async (target) => {
  await raises("ThrottlingException", () => ask(target + "/demo?status=429"));
  await raises("ValidationException", () => ask(target + "/demo?status=400"));
});

test("broken streams are never complete", TARGETS, async (target) => {
  for (const fault of ["fin_after=700", "rst_after=700", "garble=4", "error_event=9"]) {
    const error = await final(`${target}/demo?${fault}`).then(() => null, (e) => e);
    check(error, `${fault}: the stream seemed complete`);
  }
});

test("counts tokens", [null], async () => {
  const answer = await client.send(new aws.CountTokensCommand({ modelId: "demo", input: { converse: { messages } } }));
  check(answer.inputTokens > 3, JSON.stringify(answer));
});

test("invokes no model with a body that asks for no vectors", [null], async () => {
  const body = JSON.stringify({ prompt: "x", max_tokens: 3 });
  const error = await raises("ValidationException", () => client.send(new aws.InvokeModelCommand({ modelId: "demo", body })));
  check(error.message.includes("Converse"), error.message);
});

test("weir's own errors have their class", [null], async () => {
  await raises("ResourceNotFoundException", () => ask("no-such-model"));
  await raises("UnrecognizedClientException", () => ask("demo", {}, wrong));
  await raises("AccessDeniedException", () => ask("simulator/demo", {}, narrow));
});

test("signatures are checked", [null], async () => {
  const signing = (accessKeyId, secretAccessKey) => new aws.BedrockRuntimeClient({
    region: "eu-west-1", endpoint: URL_OF_WEIR + "/bedrock", maxAttempts: 1, credentials: { accessKeyId, secretAccessKey },
    requestHandler: new NodeHttpHandler({ requestTimeout: 20000 }),
  });
  const answer = await ask("simulator/demo", {}, signing("AKIDSIGNER", "the-secret-of-the-signer"));
  check(answer.stopReason === "end_turn", answer);
  await raises("InvalidSignatureException", () => ask("demo", {}, signing("AKIDSIGNER", "another-secret-of-somebody")));
});

await main();
