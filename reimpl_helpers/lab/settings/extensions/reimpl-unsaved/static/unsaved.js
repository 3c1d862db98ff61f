// Says in the page when a notebook could not be saved, when it was, and where a copy is when its
// file was changed meanwhile. JupyterLab loads this as it is: what a build would make of it is
// written by hand, as it is short.
(() => {
  const EVENTS = "https://schema.jupyter.org/jupyter_collaboration/session/v1";
  const UNSAVED = "not saved: "; // as reimpl_helpers/lab/saving.py spells it
  const RELOADED = "What you had typed is in "; // and this
  let shared;

  function watch(app, Notification) {
    const shown = new Map(); // by path
    app.serviceManager.events.stream.connect((_, event) => {
      if (event.schema_id !== EVENTS) return;
      const { path, action, msg } = event;
      if (msg.startsWith(UNSAVED) && !shown.has(path)) {
        const text = `${path} is ${msg}. Leave this page open: it is tried again and again.`;
        shown.set(path, Notification.error(text, { autoClose: false }));
      }
      if (action === "save" && shown.has(path)) {
        const message = `${path} is saved again.`;
        const id = shown.get(path);
        Notification.update({ id, message, type: "success", autoClose: 30000 });
        shown.delete(path);
      }
      if (msg.startsWith(RELOADED)) {
        if (shown.has(path)) Notification.dismiss(shown.get(path));
        Notification.warning(msg, { autoClose: false });
        shown.delete(path);
      }
    });
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["reimpl-unsaved"] = {
    init: (scope) => {
      shared = scope;
    },
    get: async () => {
      const [apputils] = Object.values(shared["@jupyterlab/apputils"]);
      const { Notification } = (await apputils.get())();
      const plugin = {
        id: "reimpl-unsaved:plugin",
        autoStart: true,
        activate: (app) => watch(app, Notification),
      };
      return () => plugin;
    },
  };
})();
