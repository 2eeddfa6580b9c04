/**
 * A server that speaks the frames of the protocol and answers whatever a test tells it to: it shows what a real daemon
 * cannot be made to do. It runs on Deno and on Node.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { encodeFrame, FrameDecoder } from "../../client/frame.ts";

/** A request as the fake got it: every field as `JSON.parse` gives it, and the text. */
export interface FakeRequest {
  readonly type: string;
  readonly id: number;
  readonly [field: string]: unknown;
}

/** One client's connection, as the fake sees it. */
export interface FakeSession {
  /** The connection's number, from 0. */
  readonly index: number;
  readonly socket: Socket;
  /** The text of the request at hand. */
  readonly text: string;
  /** Sends an answer; the request's `id` is added unless it has one. */
  answer(fields: Record<string, unknown>): void;
  /** Sends JSON text as it is. */
  send(text: string): void;
}

/** Answers a request; one that returns nothing is not answered. Not asked for `Ping`. */
export type FakeHandler = (request: FakeRequest, session: FakeSession) => void;

const PING = { version: "0", protocol: 1, features: [], pid: 0, databases: [], exe: "" };

/** A listening fake. */
export class FakeDaemon {
  readonly endpoint: string;
  /** Requests received, `Ping` excluded. */
  readonly requests: FakeRequest[] = [];
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #folder: string;
  #connections = 0;

  private constructor(server: Server, folder: string, endpoint: string) {
    this.#server = server;
    this.#folder = folder;
    this.endpoint = endpoint;
  }

  /** Starts one; `greet` is called with every new connection. */
  static async start(
    handler: FakeHandler,
    greet: (socket: Socket) => void = () => {},
  ): Promise<FakeDaemon> {
    const folder = mkdtempSync(join(tmpdir(), "fake-"));
    const endpoint = process.platform === "win32"
      ? `\\\\.\\pipe\\fake-${randomUUID()}`
      : join(folder, "fake.sock");
    const server = createServer();
    const fake = new FakeDaemon(server, folder, endpoint);
    server.on("connection", (socket) => {
      fake.#serve(socket, handler);
      greet(socket);
    });
    await new Promise<void>((resolve) => server.listen(endpoint, resolve));
    return fake;
  }

  /** Drops every connection and listens no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    const dropped = [...this.sockets].map((socket) =>
      new Promise((resolve) => socket.once("close", resolve).destroy())
    );
    // Its callback is not awaited: Deno 2.6 miscounts the connections and never calls it.
    this.#server.close();
    await Promise.all(dropped);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #serve(socket: Socket, handler: FakeHandler): void {
    const index = this.#connections++;
    const decoder = new FrameDecoder();
    const text = new TextDecoder();
    const send = (answer: string) => void socket.write(encodeFrame(answer));
    this.sockets.add(socket);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("error", () => {});
    socket.on("data", (chunk: Uint8Array) => {
      decoder.push(chunk);
      for (let body = decoder.take(); body !== null; body = decoder.take()) {
        const source = text.decode(body);
        const request = JSON.parse(source) as FakeRequest;
        const answer = (fields: Record<string, unknown>) =>
          send(JSON.stringify({ id: request.id, status: "ok", ...fields }));
        if (request.type === "Ping") {
          answer(PING);
          continue;
        }
        this.requests.push(request);
        handler(request, { index, socket, text: source, answer, send });
      }
    });
  }
}
