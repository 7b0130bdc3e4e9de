// The dashboard in a real Chromium: `node browser.mjs URL STEP ...` does one step as a person does, and fails if it does not see
// what it should, or if the page breaks its own content policy. `node browser.mjs URL shots DIR` takes a picture of each page in
// both themes and at a phone's width.
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import puppeteer from "puppeteer-core";

const [base, step, ...rest] = process.argv.slice(2);
const PATIENCE_MS = 20_000;
const PHONE = { width: 390, height: 844, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const DESK = { width: 1280, height: 900 };

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  // It is run as root in containers, where its own sandbox does not work; what it opens is ours alone.
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
});
const page = await browser.newPage();
page.setDefaultTimeout(PATIENCE_MS);
const complaints = [];
page.on("console", (said) => ["error", "warn"].includes(said.type()) && complaints.push(said.text()));
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (asked) => asked.url().startsWith(base) || complaints.push(`it asks for ${asked.url()}`));

const open = (path) => page.goto(base + path, { waitUntil: "networkidle0" });
const text = () => page.$eval("body", (body) => body.innerText);
const expect = async (...parts) => {
  const seen = await text();
  for (const part of parts) if (!seen.includes(part)) throw new Error(`the page does not say "${part}":\n${seen}`);
};
const refuse = async (...parts) => {
  const seen = await text();
  for (const part of parts) if (seen.includes(part)) throw new Error(`the page says "${part}":\n${seen}`);
};
/** Clicks the first visible element of this kind with this text, and waits for the page that follows. */
const click = async (selector, name, { follows = true } = {}) => {
  await page.waitForSelector(selector, { visible: true });
  for (const found of await page.$$(selector)) {
    const shown = (await found.isVisible()) && (await found.evaluate((e) => e.textContent.trim())).startsWith(name);
    if (!shown) continue;
    await Promise.all([follows ? page.waitForNavigation({ waitUntil: "networkidle0" }) : null, found.click()]);
    return;
  }
  throw new Error(`there is no ${selector} "${name}":\n${await text()}`);
};
const toTheLetter = async (queue) => {
  await open("/dashboard");
  await click("nav a", "Dead letters");
  await click("main a", queue);
  await click("tbody th a", "");
  await click("tbody th a", "");
};

const steps = {
  async pause(kind) {
    await open("/dashboard");
    await expect("Overview", "ready", "Queues");
    await click("nav a", "Control");
    await page.type("#pause-type", kind);
    await click("button", "Pause type");
    await expect("It is paused", kind, "1 paused");
  },
  async resume(kind) {
    await open("/dashboard/control");
    await expect(kind);
    await click("button", "Resume");
    await expect("Resumed.", "Nothing is paused.");
  },
  async "pause-queue"() {
    await open("/dashboard/control");
    await click("button", "Pause queue");
    await expect("It is paused");
    await open("/dashboard");
    await expect("paused");
  },
  async profile(plugin, name) {
    await open("/dashboard");
    await click("nav a", "Plugins");
    await page.select("select[name=for]", "1s");
    await click("button", "Profile");
    await expect("A profile was started.");
    // The page shows it by itself.
    const picture = await page.waitForSelector(`.profile img[alt^="Flame graph of ${plugin}"]`, { visible: true });
    await page.waitForFunction((picture) => picture.complete && picture.naturalWidth > 0, {}, picture);
    await expect("for the Firefox profiler");
    // By itself it has the names, to read and under the pointer.
    await open(await page.$eval(".profile figure a", (a) => a.getAttribute("href")));
    const seen = await page.evaluate(() => document.documentElement.textContent);
    if (!seen.includes(name)) throw new Error(`the picture does not name ${name}:\n${seen}`);
  },
  async replay(queue, reason) {
    await toTheLetter(queue);
    await expect(reason, "Envelope", "Attempts");
    await click("button", "Replay");
    await expect("One letter was sent back to its queue.");
  },
  async edit(queue, body) {
    await toTheLetter(queue);
    await click("summary", "Edit and replay", { follows: false });
    await page.$eval("textarea", (area) => (area.value = ""));
    await page.type("textarea", body);
    await click("button", "Replay with this body");
    await expect("One letter was sent back to its queue.");
  },
  async discard(queue) {
    await toTheLetter(queue);
    await click("summary", "Discard", { follows: false });
    await page.click("input[type=checkbox]");
    await click("button", "Discard the letter");
    await expect("One letter was deleted.");
  },
  /** The page refreshes itself: what happens elsewhere shows without a click. The other process is told to begin. */
  async live(word) {
    await open("/dashboard/live");
    await refuse(word);
    console.log("watching");
    await page.waitForFunction((word) => document.body.innerText.includes(word), {}, word);
  },
  /** A page of another origin makes the browser ask for letters: it is refused. A person who types the address is not. */
  async "drive-by"(queue) {
    const letters = `/dashboard/letters/${queue}`;
    const site = createServer((_, answer) => {
      answer.setHeader("content-type", "text/html");
      answer.end(`<h1>another site</h1><img src="${base}${letters}"><iframe src="${base}${letters}"></iframe>`);
    });
    await new Promise((listens) => site.listen(0, "127.0.0.1", listens));
    const seen = [];
    page.on("response", (response) => response.url() === base + letters && seen.push(response.status()));
    await page.goto(`http://127.0.0.1:${site.address().port}/`, { waitUntil: "networkidle0" });
    site.close();
    // Chromium may ask once for both.
    if (!seen.length || seen.some((status) => status !== 403)) throw new Error(`another site's page was answered ${seen}`);
    // The browser says that it was refused, and that the frame is not to be shown.
    complaints.length = 0;
    await open(letters);
    await expect("Dead letters", "to be seen");
  },
  /** By keyboard alone: Tab to the fifth page, Enter; what has the focus shows it. */
  async keyboard() {
    await open("/dashboard");
    for (let stops = 0; stops < 12; stops++) {
      await page.keyboard.press("Tab");
      const [name, outline] = await page.evaluate(() => {
        const at = document.activeElement;
        return [at.textContent.trim(), getComputedStyle(at).outlineStyle];
      });
      if (outline === "none") throw new Error(`the focus on "${name}" cannot be seen`);
      if (name === "Control") break;
    }
    await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
    await expect("Pause a type", "Breakers");
  },
  async login(token) {
    await open("/dashboard");
    await page.type("input[type=password]", token);
    await click("button", "Log in");
    await expect("Overview", "read-only");
    await open("/dashboard/control");
    await refuse("Pause a type");
    await click("button", "Log out");
    await expect("Admin token");
  },
  async shots(dir) {
    mkdirSync(dir, { recursive: true });
    const pages = ["", "/plugins", "/groups", "/control", "/live", "/letters"].map((path) => [path.slice(1) || "overview", `/dashboard${path}`]);
    await open("/dashboard/letters");
    const queue = await page.$eval("tbody a", (a) => a.getAttribute("href"));
    pages.push(["letter-groups", queue]);
    await open(queue);
    const group = await page.$eval("tbody th a", (a) => a.getAttribute("href")).catch(() => null);
    if (group) {
      pages.push(["letter-group", group]);
      await open(group);
      pages.push(["letter", await page.$eval("tbody th a", (a) => a.getAttribute("href"))]);
    }
    // From now on its outcomes are kept.
    await open("/dashboard/live");
    for (const [name, path] of pages) {
      for (const [view, size, theme] of [["light", DESK, "light"], ["dark", DESK, "dark"], ["phone", PHONE, "light"]]) {
        await page.setViewport(size);
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
        await open(path);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 0) complaints.push(`${name} at ${view}: ${wide} px wider than the screen`);
        await page.screenshot({ path: `${dir}/${name}-${view}.png`, fullPage: true });
      }
    }
  },
};

try {
  await page.setViewport(DESK);
  await steps[step](...rest);
  if (complaints.length) throw new Error(`the browser complains:\n${complaints.join("\n")}`);
} finally {
  await browser.close();
}
