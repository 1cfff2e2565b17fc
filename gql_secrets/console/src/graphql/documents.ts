/** Every document the console can send, for servers that accept trusted documents only. */

import * as adminQueries from "./adminQueries";
import { textOf } from "./graphql";
import * as mutations from "./mutations";
import * as overviewQueries from "./overviewQueries";
import * as queries from "./queries";

export const DOCUMENTS: readonly string[] = Object.values({
  ...queries,
  ...overviewQueries,
  ...adminQueries,
  ...mutations,
})
  .map(textOf)
  .filter((text) => !text.startsWith("fragment")); // a fragment is part of others
