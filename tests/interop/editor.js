// What VS Code's JSON language service makes of policy files: completions, hovers and marks, as JSON.
// stdin: {"schema": TEXT, "asks": [{"text": TEXT with one "¦" for the cursor, "what": "complete" | "hover" | "mark"}]}
"use strict";
const { getLanguageService, TextDocument } = require("vscode-json-languageservice");

const URI = "file:///policies/route.json";

async function main() {
  const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const service = getLanguageService({ workspaceContext: { resolveRelativePath: (path) => `file:///policies/${path}` },
    schemaRequestService: async () => input.schema });
  service.configure({ allowComments: false, validate: true });
  const answers = [];
  for (const { text, what } of input.asks) {
    const at = text.indexOf("¦");
    const document = TextDocument.create(URI, "json", 1, text.replace("¦", ""));
    const parsed = service.parseJSONDocument(document);
    const position = document.positionAt(Math.max(at, 0));
    if (what === "complete") {
      const found = await service.doComplete(document, position, parsed);
      answers.push(found.items.map(({ label, documentation }) => ({ label, documentation: documentation || "" })));
    } else if (what === "hover") {
      const found = await service.doHover(document, position, parsed);
      answers.push(found ? found.contents : []);
    } else {
      const found = await service.doValidation(document, parsed);
      answers.push(found.map(({ message, range }) => ({ message, line: range.start.line + 1 })));
    }
  }
  process.stdout.write(JSON.stringify(answers));
}

main();
