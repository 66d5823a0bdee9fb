export * from "../../tests/ui/node_modules/preact/hooks/src/index.js";
