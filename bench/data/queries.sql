-- SPDX-License-Identifier: MIT
-- A database in memory: rows in, indexes, joins, aggregates, text functions, updates and deletions.
PRAGMA cache_size = -65536;
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, city TEXT, score REAL, note BLOB);
CREATE TABLE visit(id INTEGER PRIMARY KEY, person INTEGER, page TEXT, seconds INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO person
SELECT i,
       printf('name-%06d-%s', i * 7919 % 60000, hex(i)),
       'city' || (i * 31 % 500), i * 0.37, zeroblob(i % 200) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO visit SELECT i, 1 + i * 104729 % 60000, '/page/' || (i * 13 % 900), i % 3600 FROM n;
CREATE INDEX person_name ON person(name);
CREATE INDEX visit_person ON visit(person, page);
SELECT city, count(*), sum(seconds), avg(score) FROM person JOIN visit ON visit.person = person.id
GROUP BY city ORDER BY 3 DESC LIMIT 5;
SELECT count(*) FROM (SELECT DISTINCT upper(name) || lower(city) FROM person);
SELECT length(group_concat(page, ',')) FROM visit;
SELECT count(*) FROM (SELECT person, group_concat(page) AS pages FROM visit GROUP BY person HAVING length(pages) > 30);
UPDATE person SET note = randomblob(0) || name WHERE id % 3 = 0;
DELETE FROM visit WHERE id % 4 = 1;
SELECT substr(page, 7, 1), count(*), max(json_extract(json_object('s', seconds), '$.s')) FROM visit GROUP BY 1;
SELECT count(*) FROM person WHERE name LIKE '%99%' OR name GLOB '*AB*';
