// SPDX-License-Identifier: BSL-1.0
//
// Collects documents into bulks: one is sent at 1,000 documents, or 1,000 ms after the first that waits; at most four
// are under way. The queue has no bound: so it was in the source system, and `peakQueue` shows what comes of it.

const documentsPerBulk = 1000;
const flushAfterMs = 1000;
const bulksInFlight = 4;

export class Bulks {
  sent = 0;
  failedDocuments = 0;
  peakQueue = 0;
  lastAnswer = 0;

  #send;
  #queue = [];
  #due = 0; // so many at the queue's head go out even if they do not fill a bulk
  #inFlight = 0;
  #timer;
  #whenEmpty = () => {};

  /// `send(documents)` answers how many of them were refused, or throws.
  constructor(send) {
    this.#send = send;
  }

  /// Returns at once. `settle(error)`, if given, is called when the document's bulk was answered.
  enqueue(document, settle) {
    this.#queue.push({ document, settle });
    this.peakQueue = Math.max(this.peakQueue, this.#queue.length);
    this.#pump();
  }

  /// Sends what waits, and returns when all is answered.
  drain() {
    return new Promise((resolve) => {
      this.#whenEmpty = resolve;
      this.#flush();
    });
  }

  #flush() {
    this.#timer = clearTimeout(this.#timer);
    this.#due = this.#queue.length;
    this.#pump();
  }

  #pump() {
    while (this.#inFlight < bulksInFlight && (this.#queue.length >= documentsPerBulk || this.#due > 0)) {
      const entries = this.#queue.splice(0, documentsPerBulk);
      this.#due = Math.max(0, this.#due - entries.length);
      this.#dispatch(entries);
    }
    if (this.#queue.length > 0) {
      this.#timer ??= setTimeout(() => this.#flush(), flushAfterMs);
    } else {
      this.#timer = clearTimeout(this.#timer);
      if (this.#inFlight === 0) this.#whenEmpty();
    }
  }

  async #dispatch(entries) {
    ++this.#inFlight;
    ++this.sent;
    let failure;
    try {
      const refused = await this.#send(entries.map((entry) => entry.document));
      this.failedDocuments += refused;
      if (refused > 0) failure = new Error(`${refused} of ${entries.length} documents were refused`);
    } catch (error) {
      this.failedDocuments += entries.length;
      failure = error;
    }
    this.lastAnswer = performance.now();
    if (failure) console.error(`bulk: ${failure.message}`); // and that is all: nothing is sent again
    for (const entry of entries) entry.settle?.(failure);
    --this.#inFlight;
    this.#pump();
  }
}
