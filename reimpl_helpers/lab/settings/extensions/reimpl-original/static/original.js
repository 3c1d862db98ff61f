// Opens original.py beside the first notebook of a track, where it is read line by line. JupyterLab
// loads this as it is: what a build would make of it is written by hand, as it is short.
(() => {
  const FIRST = /^(.+)\/01_[^/]*\.ipynb$/;
  const WIDE = 1600; // pixels: below it, the list of files leaves both too narrow for their lines

  async function openBeside(app, panel) {
    const [, folder] = FIRST.exec(panel.context.path) ?? [];
    if (!folder) return;
    const path = `${folder}/original.py`;
    const opened = [...app.shell.widgets("main")].some((other) => other.context?.path === path);
    if (opened) return;
    const found = app.serviceManager.contents.get(path, { content: false });
    const options = { mode: "split-right", ref: panel.id, activate: false };
    await found.then(
      () => {
        if (window.innerWidth < WIDE) app.shell.collapseLeft();
        return app.commands.execute("docmanager:open", { path, options });
      },
      () => {}, // a notebook of somebody's own, without an original
    );
  }

  async function watch(app) {
    const seen = new WeakSet(); // who closes the original again is left in peace
    const look = (panel) => {
      if (!panel?.context || seen.has(panel)) return;
      seen.add(panel);
      openBeside(app, panel);
    };
    await app.restored;
    app.shell.currentChanged.connect((_, { newValue }) => look(newValue));
    look(app.shell.currentWidget);
  }

  const plugin = { id: "reimpl-original:plugin", autoStart: true, activate: (app) => void watch(app) };
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["reimpl-original"] = { init: () => {}, get: async () => () => plugin };
})();
