// Starts everything on the page.
function startCommands() {
  for (const pre of document.querySelectorAll(".commands pre")) {
    const button = element("button", { type: "button", className: "copy" }, "Copy");
    button.onclick = async () => {
      try {
        await navigator.clipboard.writeText(pre.textContent);
        button.textContent = "Copied";
      } catch { // not every browser lets a file do this
        getSelection().selectAllChildren(pre);
        button.textContent = "Selected";
      }
    };
    pre.before(button);
  }
}

function startPrinting() {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("main details:not([open])")].filter(each => !each.closest(".tools"));
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
}

const data = JSON.parse(document.getElementById("data").textContent);
for (const image of document.querySelectorAll("[data-picture]")) {
  data.pictures[image.dataset.picture] = image.getAttribute("href") ?? image.getAttribute("src");
}
for (const scroll of document.querySelectorAll(".scroll")) startTable(scroll);
for (const [id, facts] of Object.entries(data.videos)) startVideo(document.getElementById(id), facts, data.pictures);
startCommands();
startPrinting();
