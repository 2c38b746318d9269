// Checks that websites can use the API: browser.mjs KLEINBILD FOLDER, where FOLDER/node_modules has the package openai.
// It serves a page from two origins, one that kleinbild serve allows and one that it does not, opens both in a headless
// Chromium, and waits for the result that the page's script posts.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { createInterface } from "node:readline";

const [program, folder] = process.argv.slice(2);
const patience = 120_000; // milliseconds for each page

// The page's script. Every step throws an error if something is wrong.
const script = `
import OpenAI, { toFile } from "/openai/index.mjs";
const { api, token, allowed } = await (await fetch("/settings")).json();
const report = (error) => fetch("/result", { method: "POST", body: error ? String(error.stack ?? error) : "" });
const check = (is, what) => { if (!is) throw new Error("want " + what); };
const client = new OpenAI({
  apiKey: token, baseURL: api + "/v1", dangerouslyAllowBrowser: true, maxRetries: 0, organization: "o", project: "p",
});
const ask = { prompt: "a red house", size: "64x64", steps: 2 };
async function use() {
  const models = await client.models.list();
  check(models.data.length > 0, "a model");
  const made = await client.images.generate(ask);
  check(made.data[0].b64_json.startsWith("iVBOR"), "a PNG file");
  const png = await (await fetch("data:image/png;base64," + made.data[0].b64_json)).blob();
  const edited = await client.images.edit({ image: await toFile(png, "x.png"), prompt: "make it night", steps: 1 });
  check(edited.data[0].b64_json.startsWith("iVBOR"), "an edited PNG file");
  const types = [];
  const events = await client.images.generate({ ...ask, stream: true, partial_images: 1 });
  for await (const event of events) types.push(event.type);
  check(types.join() === "image_generation.partial_image,image_generation.completed",
    "a preview and a picture in the stream, found " + types);
  const form = new FormData();
  form.set("prompt", "a red house"); form.set("size", "64x64"); form.set("steps", "1"); form.set("quality", "high");
  const headers = { Authorization: "Bearer " + token };
  const reply = await fetch(api + "/v1/generate", { method: "POST", body: form, headers });
  check(reply.status === 200 && /^[0-9]+$/.test(reply.headers.get("X-Seed")) && reply.headers.get("Warning"),
    "headers that scripts can read");
  const error = await client.images.generate({ ...ask, size: "1x1" }).catch((e) => e);
  check(error.status === 422 && error.param === "size", "an error that scripts can read, found " + error);
}
try {
  if (allowed) await use();
  else check(await client.models.list().then(() => false, (e) => e instanceof OpenAI.APIConnectionError), "a refusal");
  await report();
} catch (e) {
  await report(e);
}
`;

const kinds = { ".mjs": "text/javascript", ".js": "text/javascript", ".html": "text/html" };

// website serves the page. It resolves with the origin, and with a promise of the text that the page posts.
async function website(settings) {
  let report;
  const reported = new Promise((resolve) => { report = resolve; });
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://x").pathname);
    if (path === "/result") {
      let text = "";
      for await (const piece of request) text += piece;
      response.end();
      report(text);
      return;
    }
    try {
      const body = path === "/" ? `<!doctype html><script type="module">${script}</script>`
        : path === "/settings" ? JSON.stringify(settings())
        : await readFile(join(folder, "node_modules", path));
      response.setHeader("Content-Type", path === "/" ? "text/html" : kinds[extname(path)] ?? "application/json");
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, reported, close: () => server.close() };
}

// firstLine resolves with the first line that a program prints, which is the address of the API.
function firstLine(child) {
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("exit", (code) => reject(new Error(`kleinbild serve ended with ${code}`)));
  });
}

const token = "token-of-the-browser";
let api;
const sites = [
  await website(() => ({ api, token, allowed: true })),
  await website(() => ({ api, token, allowed: false })),
];
const serve = spawn(program, [
  "serve", "-m", "demo", "--listen", "127.0.0.1:0", "--token", token, "--allow-origin", sites[0].origin,
], { stdio: ["ignore", "pipe", "inherit"] });
let failed = false;
try {
  api = await firstLine(serve);
  for (const [i, site] of sites.entries()) {
    const name = ["allowed website", "other website"][i];
    const browser = spawn("chromium", [
      "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      `--user-data-dir=${join(folder, "profile")}`, site.origin,
    ], { stdio: "ignore" });
    const gone = new Promise((resolve) => { browser.once("exit", resolve); browser.once("error", resolve); });
    const nothing = `nothing reported within ${patience / 1000} s`;
    const late = new Promise((resolve) => setTimeout(resolve, patience, nothing).unref());
    const error = await Promise.race([site.reported, late, gone.then(() => "the browser ended")]);
    browser.kill();
    await gone;
    console.log(`${error ? "FAIL" : "ok"}: ${name}${error ? ": " + error : ""}`);
    failed ||= error !== "";
  }
} finally {
  serve.kill();
  sites.forEach((site) => site.close());
}
process.exit(failed ? 1 : 0);
