// What the Node clients' tests share: where weir is, and a counting runner. Run by run.py with build/clients/node's modules.
import { createRequire } from "node:module";

export const URL_OF_WEIR = process.env.WEIR_URL, KEY = process.env.WEIR_KEY, NARROW = process.env.WEIR_KEY_NARROW;
export const TARGETS = ["simulator", "sim_claude", "sim_gemini", "sim_responses"];
export const sdk = (name) => createRequire(process.env.WEIR_NODE + "/")(name);

export const TOOL_SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

const tests = [];
export function test(name, targets, fn) {
  for (const target of targets) tests.push({ name: target ? `${name}[${target}]` : name, run: () => fn(target) });
}

export function check(condition, what) {
  if (!condition) throw new Error(typeof what === "string" ? what : JSON.stringify(what) ?? "check failed");
}

export async function raises(kind, fn) {
  try {
    await fn();
  } catch (error) {
    if (error.constructor !== kind) throw new Error(`${error.constructor.name} instead of ${kind.name}: ${error.message}`);
    return error;
  }
  throw new Error(`nothing was raised, ${kind.name} was due`);
}

export async function main() {
  let passed = 0, failed = 0;
  for (const t of tests) {
    try {
      await t.run();
      passed++;
    } catch (error) {
      failed++;
      console.log(`FAIL ${t.name}: ${error.message}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}
