// The official Node SDK of Google's Gemini against weir.
import { KEY, NARROW, TARGETS, TOOL_SCHEMA, URL_OF_WEIR, check, main, sdk, test } from "./client_test.mjs";

const { GoogleGenAI, ApiError } = sdk("@google/genai");
const made = (apiKey) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: URL_OF_WEIR + "/gemini", timeout: 20000 } });
const client = made(KEY);
const contents = "How do rivers carry sediment?";
const tools = [{ functionDeclarations: [{ name: "get_weather", description: "Weather", parametersJsonSchema: TOOL_SCHEMA }] }];
// The model stands in the path: its '?' must not.
const model = (target, knobs) => `${target}/demo` + (knobs ? `%3F${knobs}` : "");
const ask = (target, knobs, config = {}, what = contents) => client.models.generateContent({ model: model(target, knobs), contents: what, config });
const stream = async (target, knobs, config = {}) => {
  const chunks = [];
  for await (const chunk of await client.models.generateContentStream({ model: model(target, knobs), contents, config })) chunks.push(chunk);
  return chunks;
};
const refused = async (status, call) => {
  const error = await call().then(() => null, (e) => e);
  check(error instanceof ApiError && error.status === status, `${status} was due: ${error}`);
  return error;
};

test("answers whole", TARGETS, async (target) => {
  const answer = await ask(target, "", { systemInstruction: "Be brief." });
  check(answer.text.includes("rivers carry") && answer.candidates[0].finishReason === "STOP", answer);
  check(answer.usageMetadata.candidatesTokenCount === 20 && answer.usageMetadata.promptTokenCount > 0, answer.usageMetadata);
});

test("streams the same", TARGETS, async (target) => {
  const chunks = await stream(target);
  check(chunks.map((c) => c.text ?? "").join("") === (await ask(target)).text, chunks);
  check(chunks.at(-1).candidates[0].finishReason === "STOP", chunks.at(-1));
});

test("chats with tools", TARGETS, async (target) => {
  const chat = client.chats.create({ model: model(target, "tool=get_weather"), config: { tools } });
  const call = (await chat.sendMessage({ message: contents })).functionCalls[0];
  check(call.name === "get_weather" && call.args.city === "Paris", call);
  const response = { id: call.id, name: call.name, response: { result: "18 degrees" } };
  check((await chat.sendMessage({ message: [{ functionResponse: response }] })).text.includes("18 degrees"), "the result");
});

test("structured output", TARGETS, async (target) => {
  const answer = await ask(target, "", { responseMimeType: "application/json", responseJsonSchema: TOOL_SCHEMA });
  check(typeof JSON.parse(answer.text).city === "string", answer.text);
});

test("errors have their class", TARGETS, async (target) => {
  await refused(429, () => ask(target, "status=429"));
  await refused(400, () => ask(target, "status=400"));
  check((await ask(target, "status=500").then(() => null, (e) => e)).status >= 500, "500");
});

test("broken streams are never complete", TARGETS, async (target) => {
  for (const fault of ["fin_after=700", "rst_after=700", "garble=4", "error_event=3"]) {
    const chunks = await stream(target, fault).catch(() => []);
    check(!chunks.some((c) => c.candidates?.[0]?.finishReason), `${fault}: the stream seemed complete`);
  }
});

test("weir's own errors have their class", [null], async () => {
  const bad = await refused(400, () => client.models.generateContent({ model: "demo", contents: [{ role: "robot", parts: [{ text: "x" }] }] }));
  check(bad.message.includes("contents[0].role"), bad.message);
  await refused(404, () => client.models.generateContent({ model: "no-such-model", contents }));
  await refused(401, () => made("wrong").models.generateContent({ model: "demo", contents }));
  await refused(403, () => made(NARROW).models.generateContent({ model: "simulator/demo", contents }));
});

await main();
