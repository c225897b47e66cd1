# SPDX-License-Identifier: MIT
# Strings, hashes and arrays of a Ruby program; its objects live in the interpreter's own heap, their contents in
# malloc's.

def words(count)
  state = 12_345
  Array.new(count) do
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff
    "word #{state % 5000} with a tail that does not fit into an object #{state >> 12}"
  end
end

total = 0
kept = {}
ARGV[0].to_i.times do |round|
  counts = Hash.new { |hash, key| hash[key] = [] }
  words(20_000).each { |word| counts[word[0, 8]] << word }
  total += counts.values.sum(&:length)
  text = counts.map { |key, list| "#{key}: #{list.join(',')}" }.join("\n")
  total += text.split("\n").map { |line| line.gsub("tail", "end of it").length }.sum
  kept[round % 4] = counts.values.flatten.map(&:upcase).sort.each_slice(3).map(&:first)
end
puts total, kept.values.sum(&:length)
