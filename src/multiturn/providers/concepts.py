"""What kinds of things do people ask for, and how does a sentence look that tells them?"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["CONCEPTS", "FILLER", "RELATIONS", "Concept"]

NUMBER = r"[\d零一二两三四五六七八九十百]+"


class Concept(NamedTuple):
    """A kind of fact: how it is asked for, how it is told, and how it may be hinted at. ``general`` are
    kinds that say little beside another one: in "when is my birthday" the birthday counts."""

    asked: re.Pattern[str]
    told: re.Pattern[str]
    hinted: re.Pattern[str] | None = None
    general: bool = False

    def told_by(self, sentence: str) -> float:
        """1 where the sentence tells such a fact, 0.6 where it may, else 0."""
        if self.told.search(sentence):
            return 1.0
        return 0.6 if self.hinted and self.hinted.search(sentence) else 0.0


def _concept(asked: str, told: str, hinted: str | None = None, *, general: bool = False) -> Concept:
    return Concept(
        re.compile(asked, re.IGNORECASE),
        re.compile(told, re.IGNORECASE),
        re.compile(hinted) if hinted else None,
        general,
    )


CONCEPTS = (
    _concept(r"你是谁|你是做什么的|\bwho are you\b", r"你是|\byou(?:'re| are)\b"),
    _concept(
        r"几岁|多大(?:年纪|岁数|了)?|年龄|年纪|岁数|多少岁|how old|\bages?\b",
        rf"{NUMBER}\s*(?:周?岁|years?[ -]olds?)|\bage[ds]?\b|\bturn(?:ed|ing|s)? \d+|\b(?:i'?m|i am"
        rf"|is|are) \d{{1,3}}\b(?!\s*(?:cm|m|kg|%))",
        r"出生|\bborn\b",
    ),
    _concept(
        r"叫(?:什么|啥)(?:名字)?|名字(?:是什么)?|姓名|姓什么|怎么称呼|(?<!你)是谁|\bwho am i"
        r"|\bnames?\b|\bcalled\b",
        r"叫(?!我)|叫我|名字|姓(?!什么)|\bnames?\b|\bcall(?:ed| me)\b",
        r"[我你]是[^一个位名的，。！,]{2,5}[，。！,]|\b(?:[Ii]'m|[Ii] am|[Yy]ou are"
        r"|[Tt]his is) (?:the |an? )?[A-Z][a-z]+",
    ),
    _concept(
        r"住?在?(?:哪里|哪儿|什么地方|哪个(?:城市|地方|国家)|哪座城市|哪国)|住哪|在哪|地址"
        r"|\bwhere\b|\b(?:which|what) (?:city|town|country|place)\b|\baddress\b",
        r"住|在[^，。,]|来自|地址|搬到|\blive[sd]?\b|\bliving\b|\bfrom\b|\baddress\b|\bstreet\b"
        r"|\bmoved? to\b",
        r"\b(?:in|at|on|near|to) (?:the |my |a )?\w+|[去到][^，。,]",
        general=True,
    ),
    _concept(
        r"什么时候|何时|几点|几号|哪天|哪年|星期几|周几|几月|\bwhen\b|\b(?:what|which) (?:time"
        r"|date|day|year|month)\b",
        rf"{NUMBER}\s*[点号月日年时]|(?:星期|周)[一二三四五六日末天]|今天|明天|后天|昨天|今晚|下周"
        rf"|下个?月|上周|\b\d{{1,2}}(?::\d\d|\s*[ap]\.?m\b)|\b(?:mon|tues|wednes|thurs|fri|satur"
        rf"|sun)day\b|\b(?:jan|febr)uary\b|\b(?:march|april|may|june|july|august|september|october"
        rf"|november|december)\b|\b(?:19|20)\d\d\b|\b(?:today|tomorrow|yesterday|tonight|noon"
        rf"|midnight|morning|evening)\b",
        general=True,
    ),
    _concept(
        r"电话(?:号码)?|手机号码?|号码|\b(?:tele)?phone(?: number)?\b|\bmobile(?: number)?\b",
        r"\d[\d\s-]{5,}\d|电话|手机号",
    ),
    _concept(r"邮箱|邮件地址|e-?mail(?: address)?", r"\w@\w|邮箱"),
    _concept(
        r"多少钱|价格|价钱|预算|花了多少|\bprices?\b|\bcosts?\b|\bhow much\b|\bbudget\b",
        rf"{NUMBER}\s*(?:元|块|万|美元|人民币|dollars?|usd|rmb|cny|yuan|euros?|pounds?)"
        rf"|[$¥￥€£]\s*\d|预算|\bbudget\b",
        r"\d",
    ),
    _concept(
        r"(?:做|干)什么(?:工作|的)|什么(?:工作|职业)|职业|\bwhat do (?:i|you|we) do\b|\b(?:job"
        r"|profession|occupation)\b",
        r"工作|职业|从事|当[^，。]*[师生员]|是[^，。]*[师员生家长]|\bjob\b|\bprofession\b"
        r"|\bwork(?:s|ed|ing)?\b|\b(?:i am|i'm) an? \w+",
    ),
    _concept(r"生日|\bbirthday\b|\bborn\b", r"生日|出生|\bbirthday\b|\bborn\b"),
    _concept(
        r"几(?=[个只本台次条张间口位瓶件辆])|多少|\bhow many\b",
        rf"{NUMBER}|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|dozen)\b",
        general=True,
    ),
)

FILLER = re.compile(
    r"你知道|知不知道|知道|还?记不记得|还?记得|请问|请?告诉我|告诉|说过|提到过?|之前|刚才|刚刚"
    r"|上次|以前|现在|目前|今年|当时|来着|一下"
    r"|什么|怎么|怎样|如何|为什么|哪[里儿个些种款一]?|谁|是不是|有没有|能不能|可以|请"
    r"|[我你您他她它]们?的?|自己|吗|呢|吧|啊|呀|了|的|是|在|有|和|跟|与|就|都|也|还|又|把|被"
    r"|给|要|想|这|那|个"
    r"|\b(?:i|me|my|mine|you|your|yours|we|us|our|he|him|his|she|her|hers|it|its|they|them"
    r"|their|i'm|i've|i'd|you're|it's"
    r"|a|an|the|this|that|these|those|there|here|of|in|on|at|to|for|from|with|by|as|and|or|but|so|if|then"
    r"|is|am|are|was|were|be|been|do|does|did|have|has|had|can|could|would|will|shall|should|may|might|must"
    r"|what|what's|who|who's|whom|whose|where|where's|when|when's|which|why|how|how's"
    r"|know|knew|remember|recall|remind|tell|told|say|said|mention(?:ed)?|please|again|now"
    r"|currently|today|year|earlier|before|just|any|some"
    r"|not|no|yes|hi|hello|hey|ok|okay|s|t|re|ve|ll|d|m)\b"
)
"""Words that say nothing about the matter, in lower case."""

RELATIONS = re.compile(
    r"妈妈?|母亲|爸爸?|父亲|女儿|儿子|孩子|哥哥?|姐姐?|弟弟?|妹妹?|爷爷|奶奶|外公|外婆|老公"
    r"|丈夫|老婆|妻子|太太|先生|朋友|同事|老板|老师|邻居|[狗猫]"
    r"|\b(?:mother|mum|mom|father|dad|daughter|son|child|kid|brother|sister|husband|wife"
    r"|partner|friend|colleague|boss"
    r"|teacher|neighbou?r|uncle|aunt|grandmother|grandfather|dog|cat)\b"
)
"""Other people a fact may be about, in lower case."""
