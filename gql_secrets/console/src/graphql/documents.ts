/** Every document the console can send, for servers that run none but those they know. */

import { textOf } from "./graphql";
import * as mutations from "./mutations";
import * as queries from "./queries";

export const DOCUMENTS: readonly string[] = Object.values({ ...queries, ...mutations }).map(textOf);
