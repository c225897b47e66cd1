-- SPDX-License-Identifier: MIT
-- A database in memory: inserts, indexes, joins, grouping, sorting, text.
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, day TEXT, amount INTEGER, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO customer SELECT i, printf('customer %05d', i * 7919 % 20000), printf('city %02d', i * 31 % 97) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250000)
INSERT INTO orders SELECT i, i * 7919 % 20000 + 1, date('2020-01-01', printf('+%d days', i % 1500)), i * 104729 % 10007,
  substr('the quick brown fox jumps over the lazy dog and away', 1 + i % 20, 1 + i * 13 % 40) FROM n;
CREATE INDEX orders_customer ON orders (customer, day);
SELECT city, count(*), sum(amount), max(name) FROM orders JOIN customer ON customer.id = orders.customer
  GROUP BY city ORDER BY 3 DESC LIMIT 5;
SELECT strftime('%Y-%m', day) AS month, count(DISTINCT customer), sum(amount) FROM orders
  GROUP BY month ORDER BY month LIMIT 5;
SELECT length(group_concat(note, ';')) FROM orders WHERE note LIKE '%fox%';
UPDATE orders SET note = upper(note) || id WHERE id % 3 = 0;
SELECT count(DISTINCT note), max(length(note)) FROM orders;
