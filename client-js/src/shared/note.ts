import type { ClientFrame, Positions, ServerFrame } from "../frames.js";
import type { StateChange } from "../state.js";

/** What tabs tell each other. One of them leads: it holds the socket. */
export type Note =
  | (Ruling & { reign: number; after: number }) // see Tabs
  | { note: "join"; tab: string } // a tab is new: where are we?
  | { note: "send"; frame: ClientFrame; tab: string } // to the server, by the leader
  | { note: "wake" } // the leader should look at its connection, and say its state
  | { note: "here"; asked: number; pos: Positions }; // the answer to where

/** What the leader says. */
export type Ruling =
  | { note: "welcome"; tab: string; frames: ServerFrame[]; change: StateChange; session: string | undefined } // to a new tab
  | { note: "frame"; frame: ServerFrame; tab?: string | undefined } // from the server, to all or to the one that it answers
  | { note: "state"; change: StateChange; session: string | undefined }
  | { note: "sent"; id: string; tab: string; ok: boolean } // what became of a tab's request
  | { note: "broken" } // replies to what was asked until now do not come
  | { note: "where"; asked: number }; // without a connection it asks how far everybody has come
