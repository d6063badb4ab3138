// The Chromium that comes as a package, and how it is started.
import chromium from '@sparticuz/chromium';

const TRIES = 3;

// Keeps to what a browser keeps pages from doing: the package's own flags would switch that off.
export const args = ['--no-sandbox', '--no-proxy-server', '--disable-dev-shm-usage'];

/** What `launch(executablePath)` gives. Now and then a browser dies while it starts, which is no finding: it is started again. */
export async function launched(launch) {
  const executablePath = await chromium.executablePath();
  for (let tries = 1; ; tries += 1) {
    try {
      return await launch(executablePath);
    } catch (error) {
      if (tries === TRIES) throw error;
    }
  }
}
