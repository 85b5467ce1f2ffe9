// Browsers start no worker from a page that was opened as a file; the site's search runs in one. Here a
// hidden frame takes the worker's place: the same script, the same messages. Over http nothing changes.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "search";
      document.body.append(frame);
      const inside = frame.contentWindow;
      this.waiting = [];
      const tell = data => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        if (this.onmessage) this.onmessage(event);
      };
      inside.document.open();
      inside.document.write("<!doctype html><title>search</title><body></body>");
      inside.document.close();
      inside.postMessage = tell;
      inside.importScripts = (...urls) => Promise.all(urls.map(one => this.load(inside, one, url)));
      this.deliver = data => inside.dispatchEvent(new MessageEvent("message", { data }));
      this.load(inside, url, location.href).then(() => {
        const waiting = this.waiting;
        this.waiting = null;
        waiting.forEach(this.deliver);
      });
    }
    load(inside, url, base) {
      return new Promise((done, failed) => {
        const script = inside.document.createElement("script");
        script.src = new URL(url, base);
        script.onload = done;
        script.onerror = failed;
        inside.document.body.append(script);
      });
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.deliver(data);
    }
    terminate() {}
  };
}
