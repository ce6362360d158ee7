"""A campaign contacts those who are advised to switch, and keeps a control group that shows what the contact changed.

`Campaign.add` takes each subscriber's advice once, in any order, in a first pass over the file; `Campaign.assign` then
says of each in a second pass, by what the first has written, whether they are a contact, a control or no part of it.
`Campaign.economics` and `Campaign.summary` say what the whole file and the contacts would save and cost. Memory does
not grow with the file: it holds the exclusion list, one rank for each contact of a limit, and a few sums for each plan
and range of data use. `outcomes.compare` compares the two groups afterwards, and `design` says beforehand how small a
change they can show.
"""
