export { default } from "../../tests/ui/node_modules/htm/dist/htm.js";
