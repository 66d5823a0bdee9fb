export { default } from "../../tests/ui/node_modules/uplot/dist/uPlot.js";
