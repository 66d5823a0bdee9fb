export * from "../../tests/ui/node_modules/preact/src/index.js";
