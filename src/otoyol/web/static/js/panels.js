// The panels in the order in which they stand, and the tabs.
import answers from "./panels/answers.js";
import block from "./panels/block.js";
import costs from "./panels/costs.js";
import explore from "./panels/explore.js";
import figures from "./panels/figures.js";
import highway from "./panels/highway.js";
import latency from "./panels/latency.js";
import memory from "./panels/memory.js";
import network from "./panels/network.js";
import runs from "./panels/results.js";
import road from "./panels/road.js";
import stages from "./panels/stages.js";
import taps from "./panels/taps.js";

export const VIEWS = ["overview", "network", "memory", "why", "explore", "runs"];
export const panels = [figures, block, costs, road, stages, network, taps, memory, latency, highway, answers, explore, runs];
