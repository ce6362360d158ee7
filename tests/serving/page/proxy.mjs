// A reverse proxy as operators have them in front of a service: it adds a prefix to every path, and what it passes on to
// can change or be gone.
import { createServer, request } from "node:http";

export class Proxy {
  constructor(prefix, target) {
    this.prefix = prefix;
    this.to(target);
    this.server = createServer((incoming, outgoing) => this.pass(incoming, outgoing));
  }

  /** Pass on to another service, with a key if it needs one; null: nothing answers; `only`: but for such paths. */
  to(target, { key = null, only = "" } = {}) {
    Object.assign(this, { target, key, only });
  }

  async listen() {
    await new Promise((ready) => this.server.listen(0, "127.0.0.1", ready));
    this.url = `http://127.0.0.1:${this.server.address().port}${this.prefix}`;
    return this;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }

  pass(incoming, outgoing) {
    const path = incoming.url.slice(this.prefix.length);
    if (this.target === null) return incoming.destroy();
    if (!incoming.url.startsWith(`${this.prefix}/`) || !path.startsWith(this.only)) {
      outgoing.writeHead(502, { "content-type": "text/html" });
      return outgoing.end("<h1>Bad gateway</h1>");
    }
    // A connection of its own for each request: the service may close one that waits just when the next request is sent.
    const headers = { ...incoming.headers, connection: "close" };
    if (this.key !== null) headers.authorization = `Bearer ${this.key}`;
    const passed = request(`${this.target}${path}`, { method: incoming.method, headers, agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    passed.on("error", () => outgoing.destroy());
    return incoming.pipe(passed);
  }
}
