// JupyterLab in a real browser, driven as a person would: clicks, typed cells, what is on the screen.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

import { chromium, type Browser, type Locator, type Page } from "playwright-core";

import type { LabServer } from "./jupyter.ts";

const names = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/** The browser of this machine. @throws where there is none, saying how to get it */
export function chromiumProgram(): string {
  const given = process.env["CHROMIUM"];
  if (given !== undefined) return given;
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const found = names
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((file) => existsSync(file));
  if (found !== undefined) return found;
  throw new Error(
    `the browser test needs Chromium, and none of ${names.join(", ")} is on PATH; install it (Debian: apt-get install chromium), or name it in CHROMIUM`,
  );
}

/** What JupyterLab gives to the page when it is told to. */
interface JupyterApp {
  commands: { execute(command: string): Promise<unknown> };
}

const timeout = 300_000;

export class LabPage implements AsyncDisposable {
  readonly #browser: Browser;
  readonly page: Page;
  /** What the page said when something went wrong. */
  readonly errors: string[] = [];

  private constructor(browser: Browser, page: Page) {
    this.#browser = browser;
    this.page = page;
    page.setDefaultTimeout(timeout);
    page.on("pageerror", (error) => this.errors.push(error.message));
  }

  /** Opens a notebook and waits until its kernel is ready. */
  static async open(server: LabServer, notebook: string): Promise<LabPage> {
    const browser = await chromium.launch({
      executablePath: chromiumProgram(),
      args: ["--no-sandbox", "--disable-dev-shm-usage"],
      timeout,
    });
    const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    const lab = new LabPage(browser, page);
    await page.goto(`${server.url}lab/tree/${notebook}?token=${server.token}`, { timeout });
    await lab.#cells.first().waitFor();
    await page.getByText("TypeScript (torchforge)").first().waitFor();
    await lab.isIdle();
    return lab;
  }

  get #cells(): Locator {
    return this.page.locator(".jp-Notebook .jp-Cell");
  }

  /** The code cell whose code contains the text. */
  cell(code: string): Locator {
    return this.page
      .locator(".jp-CodeCell")
      .filter({ has: this.page.locator(".cm-content", { hasText: code }) });
  }

  /** Until no cell runs or waits. */
  async isIdle(): Promise<void> {
    await this.page
      .locator(
        '.jp-NotebookPanel-toolbar [data-status="idle"], .jp-Notebook-ExecutionIndicator[data-status="idle"]',
      )
      .first()
      .waitFor();
    await this.page.waitForFunction(
      "![...document.querySelectorAll('.jp-InputPrompt')].some((one) => one.textContent.includes('*'))",
    );
  }

  async command(name: string): Promise<void> {
    await this.page.evaluate(
      async (command) =>
        (globalThis as unknown as { jupyterapp: JupyterApp }).jupyterapp.commands.execute(command),
      name,
    );
  }

  /** Clicks into the cell and replaces its code. */
  async write(cell: Locator, code: string): Promise<void> {
    await cell.locator(".cm-content").click();
    await this.page.keyboard.press("Control+A");
    await this.page.keyboard.insertText(code);
  }

  /** Runs the cell with Ctrl+Enter; does not wait for its end. */
  async run(cell: Locator): Promise<void> {
    await cell.locator(".cm-content").click();
    await this.page.keyboard.press("Control+Enter");
  }

  async interrupt(): Promise<void> {
    await this.page.locator('.jp-NotebookPanel-toolbar [data-command="notebook:interrupt-kernel"]').click();
  }

  /** The SVG pictures that a cell shows. */
  async pictures(cell: Locator): Promise<string[]> {
    const sources = await cell
      .locator(".jp-OutputArea-output img")
      .evaluateAll((images) => images.map((image) => (image as unknown as { src: string }).src));
    return sources
      .filter((source) => source.startsWith("data:image/svg+xml"))
      .map((source) => {
        const [head, body] = [source.slice(0, source.indexOf(",")), source.slice(source.indexOf(",") + 1)];
        return head.includes("base64") ? Buffer.from(body, "base64").toString() : decodeURIComponent(body);
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}
