// Answers requests with the modules of the page: node tests/serving/page/answers.mjs PAGE INPUT OUTPUT
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [page, input, output] = process.argv.slice(2);
const { Model } = await import(pathToFileURL(join(page, "model.js")));
const { Adviser } = await import(pathToFileURL(join(page, "billing.js")));
const { document, habits, tariffs, usages, requests } = JSON.parse(readFileSync(input, "utf8"));
const model = new Model(document, habits.model);
const adviser = new Adviser(tariffs, habits);
const answers = {
  predict: usages.map((usage) => model.predict(usage)),
  explain: usages.map((usage) => model.explain(usage)),
  "explain in Spanish": usages.map((usage) => model.explain(usage, "es")),
  advise: requests.map((request) => adviser.advise(request)),
  "advise in Spanish": requests.map((request) => adviser.advise(request, "es")),
};
writeFileSync(output, JSON.stringify(answers));
