import type { ClientFrame, Positions, ServerFrame } from "../frames.js";
import type { StateChange } from "../state.js";

/** What tabs tell each other. One of them leads: it holds the socket. */
export type Note =
  | { note: "join"; tab: string } // a tab is new: where are we?
  | { note: "welcome"; tab: string; frames: ServerFrame[]; change: StateChange; session: string | undefined } // the answer
  | { note: "frame"; frame: ServerFrame; tab?: string | undefined } // from the server, to all or to the one that it answers
  | { note: "state"; change: StateChange; session: string | undefined } // from the leader, to all
  | { note: "send"; frame: ClientFrame; tab: string } // to the server, by the leader
  | { note: "broken" } // replies to what was asked until now do not come
  | { note: "wake" } // the leader should look at its connection
  | { note: "where"; asked: number } // a leader without a connection asks how far everybody has come
  | { note: "here"; asked: number; pos: Positions }; // the answer
