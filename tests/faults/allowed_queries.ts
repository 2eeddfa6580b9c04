/**
 * Queries that clients may make, and what they return, beside `allowed_sql.ts`: after what stands before them there.
 *
 * @module
 */

/** A statement, and the rows that it returns or the number of changes; in order, in one database. */
export type AllowedSql = readonly [
  sql: string,
  expected?: number | readonly (readonly unknown[])[],
];

const queries: readonly AllowedSql[] = [
  ["select 1", [[1]]],
  ["values (1, 2), (3, 4)", [[1, 2], [3, 4]]],
  ["select 9223372036854775807 = 9223372036854775807, -9223372036854775808 < 0", [[1, 1]]],
  [
    "with recursive f(a, b) as (values (0, 1) union all select b, a + b from f limit 10) select max(a) from f",
    [[34]],
  ],
  ["with x as materialized (select 7 as a) select a from x", [[7]]],
  ["with a as (select 1 as v), b as (select v + 1 as v from a) select v from b", [[2]]],
  ["select row_number() over (order by id), lag(name) over (order by id) from t limit 2", [[
    1,
    null,
  ], [2, "a"]]],
  ["select sum(id) over (order by id rows between 1 preceding and current row) from t limit 3", [
    [1],
    [3],
    [5],
  ]],
  ["select first_value(name) over w, ntile(2) over w from t window w as (order by id) limit 1", [[
    "a",
    1,
  ]]],
  [
    "select rank() over (order by n), dense_rank() over (order by n), cume_dist() over (order by n) from t limit 1",
    [[1, 1, 1.0]],
  ],
  ["select sum(id) filter (where id > 2) from t where id < 5", [[7]]],
  ["select group_concat(name, '-' order by id desc) from t where id < 4", [["c-b-a"]]],
  ["select string_agg(name, '+') from (select name from t where id < 4 order by id)", [["a+b+c"]]],
  [
    "select count(*), count(distinct n), total(id), avg(id), min(name), max(id) from t where id < 5",
    [[4, 1, 10.0, 2.5, "a", 4]],
  ],
  ["select n, count(*) from t group by n having count(*) > 1", [[1.5, 6]]],
  ["select 1 union select 2 union all select 2 except select 1 intersect select 2", [[2]]],
  [
    "select a.id from t a left join t b on b.id = a.id + 100 where b.id is null order by 1 limit 1",
    [[1]],
  ],
  [
    "select b.v from (select 1 as v) a right join (values (1), (2)) as x full join (select 5 as v) b limit 1",
    [[5]],
  ],
  [
    "select case when 1 then 'x' end, coalesce(null, 2), ifnull(null, 3), nullif(1, 1), iif(0, 1, 4)",
    [["x", 2, 3, null, 4]],
  ],
  ["select 5 between 1 and 9, 3 in (1, 2, 3), 'abc' like 'A%', 'abc' glob 'a*', null is null", [[
    1,
    1,
    1,
    1,
    1,
  ]]],
  ["select 'a' = 'A' collate nocase, 'a ' = 'a' collate rtrim, 'a' = 'A' collate binary", [[
    1,
    1,
    0,
  ]]],
  ["select exists (select 1 from t), not exists (select 1 from t where 0)", [[1, 1]]],
  ["select (1, 2) < (1, 3), (1, 2) = (select 1, 2)", [[1, 1]]],
  ["select cast('12x' as int), cast(3.9 as integer), cast(5 as text), cast('a' as blob)", [[
    12,
    3,
    "5",
    { "$blob": "YQ==" },
  ]]],
  ["select 7 / 2, 7 % 3, 7.0 / 2, 1 << 4, 6 & 3, 6 | 1, ~5, 2 || 3", [[
    3,
    1,
    3.5,
    16,
    2,
    7,
    -6,
    "23",
  ]]],
  ["select 1 is distinct from null, 1 is not distinct from 1", [[1, 1]]],
  ["select * from t where 0", []],
  ["explain query plan select * from t where name = 'a'", undefined],
  ["explain select 1", undefined],
];

const functions: readonly AllowedSql[] = [
  ["select abs(-2), round(2.567, 2), max(1, 3), min(1, 3), sign(-5)", [[2, 2.57, 3, 1, -1]]],
  ["select sqrt(16), pow(2, 10), ceil(1.2), floor(1.8), mod(7, 3), trunc(1.9)", [[
    4.0,
    1024.0,
    2.0,
    1.0,
    1.0,
    1.0,
  ]]],
  ["select round(pi(), 4), round(sin(0), 1), exp(0), ln(1), log10(100), log2(8), degrees(0)", [[
    3.1416,
    0.0,
    1.0,
    0.0,
    2.0,
    3.0,
    0.0,
  ]]],
  ["select length('äb'), octet_length('äb'), upper('a'), lower('A'), substr('hello', 2, 3)", [[
    2,
    3,
    "A",
    "a",
    "ell",
  ]]],
  [
    "select trim('  x '), ltrim('xxa', 'x'), rtrim('axx', 'x'), replace('aba', 'a', 'c'), instr('abc', 'c')",
    [["x", "a", "a", "cbc", 3]],
  ],
  ["select hex('a'), unhex('61'), quote('it''s'), char(65, 66), unicode('a')", [[
    "61",
    { "$blob": "YQ==" },
    "'it''s'",
    "AB",
    97,
  ]]],
  ["select printf('%05d|%.2f|%s|%x', 42, 3.14159, 'x', 255), format('%,d', 1234567)", [[
    "00042|3.14|x|ff",
    "1,234,567",
  ]]],
  ["select concat('a', null, 1), concat_ws('-', 'a', null, 'b')", [["a1", "a-b"]]],
  ["select typeof(1), typeof(1.0), typeof('x'), typeof(x''), typeof(null)", [[
    "integer",
    "real",
    "text",
    "blob",
    "null",
  ]]],
  ["select date('2024-02-28', '+2 days'), time('12:00', '+90 minutes'), julianday('2000-01-01')", [[
    "2024-03-01",
    "13:30:00",
    2451544.5,
  ]]],
  ["select datetime(0, 'unixepoch'), strftime('%Y-%j', '2024-12-31'), unixepoch('1970-01-02')", [[
    "1970-01-01 00:00:00",
    "2024-366",
    86400,
  ]]],
  [
    "select timediff('2024-01-02', '2024-01-01'), date('2024-01-31', 'start of month', '+1 month', '-1 day')",
    [["+0000-00-01 00:00:00.000", "2024-01-31"]],
  ],
  ["select datetime('now') > '2020', current_timestamp is not null, length(current_date)", [[
    1,
    1,
    10,
  ]]],
  ["select likelihood(1, 0.5), likely(1), unlikely(0), zeroblob(2)", [[1, 1, 0, {
    "$blob": "AAA=",
  }]]],
  ["select last_insert_rowid() >= 0, changes() >= 0, total_changes() >= 0", [[1, 1, 1]]],
  ["select sqlite_version() >= '3.40', length(sqlite_source_id()) > 20", [[1, 1]]],
  ["select random() is not null, length(randomblob(5))", [[1, 5]]],
];

const json: readonly AllowedSql[] = [
  ["select json('{ \"a\" : [1, 2] }')", [['{"a":[1,2]}']]],
  [
    "select json_extract('{\"a\":[1,{\"b\":2}]}', '$.a[1].b'), '{\"a\":5}' -> '$.a', '{\"a\":\"x\"}' ->> 'a'",
    [[2, "5", "x"]],
  ],
  ["select json_array(1, 'x', null), json_object('k', 1)", [['[1,"x",null]', '{"k":1}']]],
  [
    "select json_set('{}', '$.a', 1), json_insert('{\"a\":1}', '$.a', 2), json_replace('{\"a\":1}', '$.a', 2)",
    [['{"a":1}', '{"a":1}', '{"a":2}']],
  ],
  [
    "select json_remove('[1,2,3]', '$[1]'), json_patch('{\"a\":1}', '{\"b\":2}'), json_type('[1]')",
    [["[1,3]", '{"a":1,"b":2}', "array"]],
  ],
  [
    "select json_valid('{'), json_quote('x'), json_array_length('[1,2,3]'), json_error_position('[1,')",
    undefined,
  ],
  ['select key, value from json_each(\'{"a":1,"b":2}\')', [["a", 1], ["b", 2]]],
  ['select count(*) from json_tree(\'{"a":{"b":[1,2]}}\')', [[5]]],
  [
    "select json_group_array(id), json_group_object(name, id) from (select * from t where id < 3 order by id)",
    [["[1,2]", '{"a":1,"b":2}']],
  ],
  ["select json_extract(jsonb('{\"a\":7}'), '$.a'), typeof(jsonb('[]')), json(jsonb_array(1))", [[
    7,
    "blob",
    "[1]",
  ]]],
  ["select json_pretty('[1]'), json('{a:1,}')", [["[\n    1\n]", '{"a":1}']]],
];

/** All of them. */
export const ALLOWED_QUERIES: readonly AllowedSql[] = [...queries, ...functions, ...json];
